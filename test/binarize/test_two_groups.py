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

"""Codes of a row: residual binarization and two magnitude groups."""

from functools import partial

from hbvla_ros.binarize.two_groups import (
    best_threshold,
    quantiles,
    residual_code,
    two_group_code,
)
import pytest
import torch

OWN_MEANS = partial(two_group_code, rms=False, share_mean=False, sign_of_zero=0)


def test_a_plane_of_one_row_worked_by_hand():
    # mean 2, distances 2 1 0 3, mean distance 1.5; the entry at the mean stays there
    row = torch.tensor([[0.0, 1.0, 2.0, 5.0]])
    assert residual_code(row, 1, 0).tolist() == [[0.5, 0.5, 2.0, 3.5]]
    assert residual_code(row, 1, 1).tolist() == [[0.5, 0.5, 3.5, 3.5]]


def test_two_planes_never_do_worse_than_one():
    x = torch.randn(50, 30, generator=torch.Generator().manual_seed(0))
    error = [(x - residual_code(x, order, 0)).square().sum(dim=1) for order in (1, 2)]
    assert (error[1] <= error[0]).all()


def test_a_column_alone_is_kept_exactly():
    x = torch.randn(5, 1, generator=torch.Generator().manual_seed(0))
    assert torch.equal(residual_code(x, 2, 0), x)


def test_two_groups_of_one_row_worked_by_hand():
    row = torch.tensor([[1.0, 2.0, 3.0, 8.0, 12.0]])
    small = torch.tensor([[True, True, True, False, False]])
    # small: mean 2, distances 1 0 1, mean 2/3, root mean square sqrt(2/3); large: mean 10, 2
    own = OWN_MEANS(row, small)
    torch.testing.assert_close(own, torch.tensor([[4 / 3, 2, 8 / 3, 8, 12]]))
    rms = two_group_code(row, small, rms=True, share_mean=False, sign_of_zero=0)
    root = (2 / 3) ** 0.5
    torch.testing.assert_close(rms, torch.tensor([[2 - root, 2, 2 + root, 8, 12]]))


def test_a_shared_mean_is_that_of_the_row():
    row = torch.tensor([[1.0, 2.0, 3.0, 6.0]])  # mean 3; distances of the groups 2 1 and 0 3
    small = torch.tensor([[True, True, False, False]])
    coded = two_group_code(row, small, rms=False, share_mean=True, sign_of_zero=0)
    assert coded.tolist() == [[1.5, 1.5, 3.0, 4.5]]


@pytest.mark.parametrize('rms', [False, True])
def test_a_group_of_one_entry_is_kept_exactly(rms):
    x = torch.randn(20, 40, generator=torch.Generator().manual_seed(0))
    alone = x.abs() >= x.abs().amax(dim=1, keepdim=True)
    coded = two_group_code(x, ~alone, rms=rms, share_mean=False, sign_of_zero=0)
    assert torch.equal(coded[alone], x[alone])


def test_quantiles_are_those_of_torch():
    x = torch.rand(6, 77, generator=torch.Generator().manual_seed(0))
    shares = torch.linspace(0, 1, 21)
    assert torch.equal(quantiles(x, shares), torch.quantile(x, shares, dim=1))


def test_rows_find_their_own_border_or_share_one():
    x = torch.tensor([[1.0, 1.0, 9.0], [1.0, 5.0, 5.0]])
    tried = torch.tensor([[2.0, 2.0], [6.0, 6.0]])
    code = OWN_MEANS
    assert best_threshold(x, x, tried, code).tolist() == [[2.0], [2.0]]
    # above every entry of row 1: all of it becomes one group, and row 0 decides nothing
    assert best_threshold(x, x, torch.tensor([[10.0, 6.0], [6.0, 2.0]]), code).tolist() == [
        [6.0],
        [2.0],
    ]
    assert best_threshold(x, x, tried[:, :1], code).tolist() == [[2.0]]


def test_of_equal_borders_the_first_is_taken():
    x = torch.tensor([[1.0, 1.0, 9.0]])
    tried = torch.tensor([[3.0], [2.0], [4.0]])
    assert best_threshold(x, x, tried, OWN_MEANS).tolist() == [[3.0]]
