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

"""Refit of levels under the full Hessian."""

from builders import stats_of, tiny_layer
from hbvla_ros.binarize.feedback import code_with_feedback, GroupCodes, sign_pass
from hbvla_ros.binarize.method import damped
from hbvla_ros.binarize.refit import refit
import pytest
import torch


def _problem(planes, seed=0):
    weight, x = tiny_layer(out=12, n=256, seed=seed)
    hessian, _ = damped(stats_of(x).plain, 0.01)
    weight, hessian = weight.double(), hessian
    return weight, hessian, code_with_feedback(weight, hessian, planes)


def _error(weight, codes, hessian):
    r = weight - codes.values()
    return ((r @ hessian) * r).sum(dim=1)


@pytest.mark.parametrize('planes', [[1, 1], [1, 2], [2, 2]])
@pytest.mark.parametrize('seed', [0, 1, 2])
def test_no_sweep_raises_the_error_of_any_row(planes, seed):
    weight, hessian, codes = _problem(planes, seed)
    before = _error(weight, codes, hessian)
    for _ in range(4):
        for step in (refit, sign_pass):
            codes = step(weight, hessian, codes)
            after = _error(weight, codes, hessian)
            assert (after <= before * (1 + 1e-9)).all(), step.__name__
            before = after


def test_sweeps_help_a_lot():
    weight, hessian, codes = _problem([1, 1])
    before = _error(weight, codes, hessian).sum()
    for _ in range(4):
        codes = sign_pass(weight, hessian, refit(weight, hessian, codes))
    assert _error(weight, codes, hessian).sum() < 0.85 * before  # 0.82 on mild correlations


def test_with_an_identity_hessian_it_is_the_mean_of_each_side_worked_by_hand():
    weight = torch.zeros(1, 128, dtype=torch.float64)
    weight[0, :4] = torch.tensor([1.0, 3.0, -2.0, -6.0])
    weight[0, 4:] = torch.tensor([2.0, -4.0] * 62)
    choice = (weight > 0).long()
    codes = GroupCodes([torch.tensor([[[-1.0, 1.0]]], dtype=torch.float64)], choice)
    levels = refit(weight, torch.eye(128, dtype=torch.float64), codes).levels[0]
    # ridge of 1e-6 of the diagonal
    torch.testing.assert_close(
        levels, torch.tensor([[[-4.0, 2.0]]], dtype=torch.float64), rtol=1e-5, atol=1e-5
    )


def test_negative_scales_flip_their_signs_and_the_stronger_plane_comes_first():
    weight, hessian, codes = _problem([2, 2])
    swapped = [levels.flip(1) for levels in codes.levels]
    choice = 3 - ((codes.choice >> 1 & 1) | (codes.choice & 1) << 1)  # planes swapped, negated
    again = refit(weight, hessian, GroupCodes(swapped, choice))
    for levels in again.levels:
        scales = levels[..., 1] - levels[..., 0]
        assert (scales >= 0).all()
        assert (scales[:, 0] >= scales[:, 1]).all()


def test_a_row_whose_signs_are_all_equal_stays_finite():
    weight = torch.ones(1, 128, dtype=torch.float64)
    levels = torch.zeros(1, 1, 2, dtype=torch.float64)
    codes = GroupCodes([levels], torch.ones(1, 128, dtype=torch.int64))
    again = refit(weight, torch.eye(128, dtype=torch.float64), codes)
    torch.testing.assert_close(again.values(), weight, rtol=1e-5, atol=1e-5)
