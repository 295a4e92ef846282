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

"""The level format."""

from hbvla_ros.binarize.layout import ColumnLayout
from hbvla_ros.binarize.weight import BinaryWeight, round_levels
from hbvla_ros.core.errors import ConfigError
import pytest
import torch


def test_values_worked_by_hand():
    layout = ColumnLayout(2)
    signs = torch.zeros(1, 128, dtype=torch.bool)
    signs[0, 1] = True
    weight = BinaryWeight(
        layout, signs, torch.tensor([[[-100, 50]]], dtype=torch.int8), torch.tensor([[0.5]])
    )
    assert weight.dequantize().tolist() == [[-50.0, 25.0]]


def test_planes_of_salient_columns_add_up():
    layout = ColumnLayout(3, num_salient=1)
    levels = torch.tensor([[[-1, 1], [-4, 4], [-2, 2]]], dtype=torch.int8)
    signs = torch.zeros(1, 384, dtype=torch.bool)
    signs[0, 128] = True  # first plane of the salient column: +4, second plane: -2
    weight = BinaryWeight(layout, signs, levels, torch.tensor([[1.0, 10.0]]))
    assert weight.dequantize().tolist() == [[-1.0, -1.0, 20.0]]


def test_rounding_keeps_the_largest_level_and_errs_by_half_a_step():
    levels = torch.randn(6, 3, 2, generator=torch.Generator().manual_seed(0))
    grid, scale = round_levels(levels, ColumnLayout(300))
    real = grid.float() * scale[:, :, None]
    assert (grid.abs().amax(dim=(1, 2)) == 127).all()
    assert ((real - levels).abs() <= scale[:, :, None] * 0.5001).all()


def test_a_row_of_zeros_stays_zero():
    grid, scale = round_levels(torch.zeros(1, 1, 2), ColumnLayout(5))
    assert grid.abs().max() == 0
    assert scale.item() == 0


def test_salient_groups_have_a_scale_of_their_own():
    levels = torch.tensor([[[-1.0, 1.0], [-100.0, 100.0], [-50.0, 50.0]]])
    grid, scale = round_levels(levels, ColumnLayout(130, num_salient=2))
    assert scale.shape == (1, 2)
    assert grid[0, 0].tolist() == [-127, 127]


def test_a_wrong_shape_is_refused_with_both_shapes():
    with pytest.raises(ConfigError, match=r'signs must be torch.bool \(1, 128\), got .*\(1, 64\)'):
        BinaryWeight(
            ColumnLayout(5),
            torch.zeros(1, 64, dtype=torch.bool),
            torch.zeros(1, 1, 2, dtype=torch.int8),
            torch.zeros(1, 1),
        )
