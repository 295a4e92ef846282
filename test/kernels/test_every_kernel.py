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

"""What every kernel promises; runs over the table."""

from hbvla_ros.binarize.layout import ColumnLayout
from hbvla_ros.binarize.weight import BinaryWeight
from hbvla_ros.kernels.dispatch import KERNELS, load_kernel
from hbvla_ros.kernels.packing import pack
import pytest
import torch

SHAPES = [(16, 128, 0), (7, 80, 0), (40, 336, 20), (24, 1152, 128), (33, 300, 299), (16, 200, 200)]
ROWS = (1, 2, 17, 64, 261)


def _weight(out, n, salient):
    g = torch.Generator().manual_seed(n)
    layout = ColumnLayout(n, salient, 'haar', 'none', torch.randperm(n, generator=g))
    return BinaryWeight(
        layout,
        torch.rand(out, layout.virtual_width, generator=g) < 0.5,
        torch.randint(-127, 128, (out, layout.virtual_width // 128, 2), generator=g).to(
            torch.int8
        ),
        torch.rand(out, layout.segments, generator=g) * 0.01,
    )


def _product(name, x, packed):
    kernel = load_kernel(name)
    if not kernel.supports(packed, x):
        pytest.skip(f'kernel {name} does not take {x.dtype} {tuple(x.shape)}')
    return kernel.linear(x, packed)


@pytest.mark.parametrize('name', list(KERNELS))
@pytest.mark.parametrize(('out', 'n', 'salient'), SHAPES)
@pytest.mark.parametrize('rows', ROWS)
def test_it_equals_the_dense_product(name, out, n, salient, rows):
    weight = _weight(out, n, salient)
    x = torch.randn(rows, n, generator=torch.Generator().manual_seed(rows))
    got = _product(name, x, pack(weight))
    exact = x.double() @ weight.dequantize().double().T
    # float32 sums of up to 1300 terms: 1e-5 of the largest output
    assert (got - exact).abs().max() <= 1e-5 * exact.abs().max()


@pytest.mark.parametrize('name', list(KERNELS))
def test_bfloat16_in_gives_bfloat16_out_within_its_rounding(name):
    weight = _weight(24, 300, 12)
    x = torch.randn(9, 300, generator=torch.Generator().manual_seed(0)).bfloat16()
    got = _product(name, x, pack(weight))
    exact = x.double() @ weight.dequantize().double().T
    assert got.dtype == torch.bfloat16
    # the Haar of a bfloat16 input is rounded once (2^-9) and so is the output
    assert (got - exact).abs().max() <= 1e-2 * exact.abs().max()


@pytest.mark.parametrize('name', list(KERNELS))
def test_leading_dimensions_and_strides_do_not_matter(name):
    packed = pack(_weight(16, 128, 0))
    x = torch.randn(3, 128, 4, generator=torch.Generator().manual_seed(0)).transpose(1, 2)
    got = _product(name, x, packed)
    assert got.shape == (3, 4, 16)
    torch.testing.assert_close(got, _product(name, x.contiguous(), packed))


@pytest.mark.parametrize('name', list(KERNELS))
@pytest.mark.parametrize('scale', [0.0, 1e30])
def test_zero_and_huge_activations_stay_what_they_are(name, scale):
    weight = _weight(16, 128, 0)
    x = torch.full((2, 128), scale)
    got = _product(name, x, pack(weight)).double()
    exact = x.double() @ weight.dequantize().double().T
    torch.testing.assert_close(got, exact, rtol=1e-3, atol=1e-4 * max(scale, 1e-30))
