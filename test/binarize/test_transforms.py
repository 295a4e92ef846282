# Copyright 2026 The hbvla_ros Authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""The block transforms are orthogonal and invert."""

from hbvla_ros.binarize.haar import haar, inverse_haar
from hbvla_ros.binarize.hadamard import hadamard
from hbvla_ros.binarize.transforms import inverse_transform, transform, TRANSFORMS
from hbvla_ros.core.errors import ConfigError
import pytest
import torch

WIDTHS = (0, 128, 256, 384, 640)


@pytest.mark.parametrize('name', TRANSFORMS)
@pytest.mark.parametrize('width', WIDTHS)
def test_inverse_restores_and_energy_is_kept(name, width):
    x = torch.randn(5, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = transform(x, name)
    torch.testing.assert_close(inverse_transform(y, name), x, rtol=0, atol=1e-12)
    torch.testing.assert_close(y.square().sum(1), x.square().sum(1), rtol=1e-12, atol=0)


@pytest.mark.parametrize('name', TRANSFORMS)
def test_the_matrix_is_orthogonal(name):
    t = transform(torch.eye(384, dtype=torch.float64), name)
    torch.testing.assert_close(t @ t.T, torch.eye(384, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize('name', TRANSFORMS)
def test_blocks_of_256_do_not_mix(name):
    x = torch.zeros(512)
    x[300] = 1
    assert transform(x, name)[:256].abs().sum() == 0


def test_a_haar_block_worked_by_hand():
    root = 0.5**0.5
    got = haar(torch.tensor([1.0, 3.0, 5.0, 1.0]))
    torch.testing.assert_close(got, torch.tensor([4.0, 6.0, -2.0, 4.0]) * root)


def test_a_second_level_splits_the_low_band_again():
    x = torch.tensor([1.0, 3.0, 5.0, 1.0])
    once, twice = haar(x), haar(x, levels=2)
    torch.testing.assert_close(twice[:2], haar(once[:2]))
    torch.testing.assert_close(twice[2:], once[2:])
    torch.testing.assert_close(inverse_haar(twice, levels=2), x)


def test_a_hadamard_block_worked_by_hand():
    got = hadamard(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert got.tolist() == [5.0, -1.0, -2.0, 0.0]


def test_hadamard_spreads_one_outlier_evenly_and_undoes_itself():
    x = torch.zeros(256)
    x[17] = 16
    y = hadamard(x)
    assert (y.abs() == 1).all()
    assert torch.equal(hadamard(y), x)


def test_low_band_of_a_haar_block_is_its_first_group_of_128():
    y = transform(torch.ones(256), 'haar')
    torch.testing.assert_close(y[:128], torch.full((128,), 2**0.5))
    assert y[128:].abs().max() == 0


def test_unknown_transform_lists_the_known_ones():
    with pytest.raises(ConfigError, match='none, haar, haar3, haar6, hadamard'):
        transform(torch.ones(128), 'fourier')
