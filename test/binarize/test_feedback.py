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

"""Error feedback and the sign pass."""

from builders import stats_of, tiny_layer
from hbvla_ros.binarize.curvature import Curvature
from hbvla_ros.binarize.feedback import code_with_feedback, GroupCodes, inverse_factor
from hbvla_ros.binarize.method import damped
from hbvla_ros.binarize.onebit import candidates
import pytest
import torch


def _problem(n=256, seed=0):
    weight, x = tiny_layer(out=12, n=n, seed=seed)
    return weight.double(), damped(stats_of(x).plain, 0.01)[0]


def _code(weight, hessian, planes):
    return code_with_feedback(weight, Curvature(hessian.clone()), planes)


def _error(weight, values, hessian):
    r = (weight - values).double()
    return ((r @ hessian.double()) * r).sum(dim=1)


def test_the_factor_gives_the_inverse():
    _, hessian = _problem()
    u = inverse_factor(hessian)
    assert torch.equal(u, u.triu())
    # 1e-5: the Hessian was a float32 product and is symmetric only to that precision
    torch.testing.assert_close(u.T @ u @ hessian, torch.eye(256).double(), rtol=0, atol=1e-5)


@pytest.mark.parametrize('planes', [[1, 1], [1, 2], [2, 2]])
def test_what_is_left_is_the_weight_minus_its_code(planes):
    weight, hessian = _problem()
    codes, left = _code(weight, hessian, planes)
    torch.testing.assert_close(left, weight - codes.values())


@pytest.mark.parametrize('planes', [1, 2])
def test_with_an_identity_hessian_it_is_plain_rounding(planes):
    weight, _ = _problem()
    codes, _ = _code(weight, torch.eye(256).double(), [planes] * 2)
    for g, levels in enumerate(codes.levels):
        for j in range(g * 128, g * 128 + 128):
            best = (weight[:, [j]] - candidates(levels)).abs().argmin(dim=1)
            assert torch.equal(codes.choice[:, j].long(), best)


def test_it_is_gptq_told_with_the_factor_of_the_inverse():
    # The textbook form: pass the scaled error of each column on through U.
    weight, hessian = _problem(n=128)
    codes, _ = _code(weight, hessian, [1])
    u, rest = inverse_factor(hessian), weight.clone()
    values = candidates(codes.levels[0])
    for j in range(128):
        best = (rest[:, [j]] - values).abs().argmin(dim=1)
        assert torch.equal(codes.choice[:, j].long(), best), j
        error = (rest[:, j] - values.gather(1, best[:, None])[:, 0]) / u[j, j]
        later = slice(j + 1, None)
        rest[:, later] -= error[:, None] * u[j, later]


def test_feedback_is_exact_on_a_4x4_worked_by_hand():
    # Four columns of a group padded to 128, coupled in a chain by 1/2. Where column j is best
    # coded, given the errors before it, follows from minimising over all columns still free.
    hessian = torch.eye(128).double()
    for j in range(3):
        hessian[j, j + 1] = hessian[j + 1, j] = 0.5
    weight = torch.zeros(1, 128).double()
    weight[0, :4] = torch.tensor([1.0, 0.2, -0.7, 0.4])
    codes, _ = _code(weight, hessian, [1])
    values = candidates(codes.levels[0])[0]
    errors = []
    for j in range(4):
        seen, free = slice(0, j), slice(j, 128)
        shift = 0.0
        if j:
            solved = torch.linalg.solve(
                hessian[free, free], hessian[free, seen] @ torch.tensor(errors).double()
            )
            shift = float(solved[0])
        wanted = float(weight[0, j]) + shift
        picked = (values - wanted).abs().argmin()
        assert codes.choice[0, j] == picked
        errors.append(float(weight[0, j] - values[picked]))


def test_feedback_lowers_the_output_error():
    weight, hessian = _problem()
    plain, _ = _code(weight, torch.diag(hessian.diagonal()), [1, 1])
    fed, _ = _code(weight, hessian, [1, 1])
    before, after = (_error(weight, codes.values(), hessian) for codes in (plain, fed))
    assert (after < before).all()
    assert after.sum() < 0.9 * before.sum()  # 0.84 on these mildly correlated inputs


def test_input_weights_are_not_changed():
    weight, hessian = _problem()
    copy = weight.clone()
    _code(weight, hessian, [1, 2])
    assert torch.equal(weight, copy)


def test_values_of_two_planes_are_sums_of_their_levels():
    levels = torch.tensor([[[-1.0, 1.0], [-0.25, 0.25]]])
    choice = torch.tensor([[0, 1, 2, 3] * 32], dtype=torch.uint8)
    values = GroupCodes([levels], choice).values()
    assert values[0, :4].tolist() == [-1.25, 0.75, -0.75, 1.25]
