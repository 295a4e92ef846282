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

"""Levels of one and of two planes."""

from hbvla_ros.binarize.onebit import candidates, fit_one_plane, fit_two_planes, Picker
from hypothesis import given, settings
from hypothesis import strategies as st
import torch


def test_levels_of_one_row_worked_by_hand():
    # Weighted mean (1*1 + 3*5) / 4 = 4; weighted distance (1*3 + 3*1) / 4 = 1.5.
    levels = fit_one_plane(torch.tensor([[1.0, 5.0]]), torch.tensor([1.0, 3.0]))
    assert levels.tolist() == [[[2.5, 5.5]]]


def test_two_planes_code_four_values_exactly():
    row = torch.tensor([[-4.0, -2.0, 2.0, 4.0]])
    values = candidates(fit_two_planes(row, torch.ones(4)))
    assert torch.allclose(values.sort().values, row, atol=1e-5)


def test_two_planes_never_do_worse_than_one():
    g = torch.Generator().manual_seed(0)
    x, w = torch.randn(50, 128, generator=g), torch.rand(128, generator=g) + 0.1

    def error(values):
        best = (x[:, :, None] - values[:, None, :]).square().amin(dim=2)
        return (best * w).sum(dim=1)

    one, two = fit_one_plane(x, w), fit_two_planes(x, w)
    assert (error(candidates(two)) < error(candidates(one))).all()


def test_the_stronger_plane_comes_first():
    levels = fit_two_planes(torch.randn(20, 128), torch.ones(128))
    spread = levels[:, :, 1] - levels[:, :, 0]
    assert (spread[:, 0] >= spread[:, 1]).all()
    assert (spread >= 0).all()


def test_a_constant_row_is_coded_as_that_constant():
    levels = fit_one_plane(torch.full((1, 4), 3.0), torch.ones(4))
    assert levels.tolist() == [[[3.0, 3.0]]]


def test_a_tie_goes_to_the_lower_value():
    index, picked = Picker(torch.tensor([[[-1.0, 1.0]]])).nearest(torch.tensor([0.0]))
    assert (index.item(), picked.item()) == (0, -1.0)
    index, picked = Picker(torch.tensor([[[-2.0, 2.0], [-1.0, 1.0]]])).nearest(torch.tensor([0.0]))
    assert (index.item(), picked.item()) == (2, -1.0)


@settings(max_examples=50, deadline=None)
@given(
    planes=st.integers(1, 2),
    numbers=st.lists(st.floats(-4, 4, width=32), min_size=5, max_size=5),
)
def test_no_value_of_a_group_is_nearer_than_the_one_picked(planes, numbers):
    # also where rounding has made the second plane the stronger one
    levels = torch.tensor(numbers[:4]).view(1, 2, 2).sort(dim=-1).values[:, :planes]
    target = torch.tensor(numbers[4:])
    index, picked = Picker(levels).nearest(target)
    values = candidates(levels)[0]
    assert picked == values[index.long()]
    assert (target - picked).abs() <= (target - values).abs().min() + 1e-6  # sums in other order
