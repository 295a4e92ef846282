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
from hbvla_ros.binarize.feedback import (
    code_with_feedback,
    GroupCodes,
    inverse_factor,
    sign_pass,
)
from hbvla_ros.binarize.method import damped
from hbvla_ros.binarize.onebit import candidates, nearest
import torch


def _problem(n=256, seed=0):
    weight, x = tiny_layer(out=12, n=n, seed=seed)
    hessian, _ = damped(stats_of(x).plain, 0.01)
    return weight, hessian.float()


def _error(weight, values, hessian):
    r = (weight - values).double()
    return ((r @ hessian.double()) * r).sum(dim=1)


def test_the_factor_gives_the_inverse():
    _, hessian = _problem()
    u = inverse_factor(hessian)
    assert torch.equal(u, u.triu())
    # 1e-5: the Hessian was a float32 product and is symmetric only to that precision
    torch.testing.assert_close(
        u.T @ u @ hessian.double(), torch.eye(256).double(), rtol=0, atol=1e-5
    )


def test_with_an_identity_hessian_it_is_plain_rounding():
    weight, _ = _problem()
    codes = code_with_feedback(weight, torch.eye(256), [1, 1])
    for g, levels in enumerate(codes.levels):
        for j in range(g * 128, g * 128 + 128):
            index, _ = nearest(weight[:, j], candidates(levels).T)
            assert torch.equal(codes.choice[:, j], index)


def test_feedback_on_two_columns_worked_by_hand():
    # Padded to one group; only columns 0 and 1 are coupled. Row (1, 0.2) has levels from its
    # weighted fit; the error of column 0 must shift column 1 by -e * H01/H11 (least squares).
    hessian = torch.eye(128)
    hessian[0, 1] = hessian[1, 0] = 0.5
    weight = torch.zeros(1, 128)
    weight[0, 0], weight[0, 1] = 1.0, 0.2
    codes = code_with_feedback(weight, hessian, [1])
    values = candidates(codes.levels[0])[0]
    first = values[codes.choice[0, 0]]
    shifted = 0.2 + 0.5 * (1.0 - first)  # minimises |e0, x|_H over x given e0
    assert codes.choice[0, 1] == (values - shifted).abs().argmin()


def test_feedback_lowers_the_output_error():
    weight, hessian = _problem()
    plain = code_with_feedback(weight, torch.diag(hessian.diagonal()), [1, 1])
    fed = code_with_feedback(weight, hessian, [1, 1])
    before, after = (_error(weight, codes.values(), hessian) for codes in (plain, fed))
    assert (after < before).all()
    assert after.sum() < 0.9 * before.sum()  # 0.84 on these mildly correlated inputs


def test_a_sign_pass_never_raises_the_error_of_any_row():
    for planes in ([1, 1], [1, 2]):
        weight, hessian = _problem(seed=3)
        codes = code_with_feedback(weight, hessian, planes)
        before = _error(weight, codes.values(), hessian)
        for _ in range(3):
            codes = sign_pass(weight, hessian, codes)
            after = _error(weight, codes.values(), hessian)
            # 1e-5: float32 gradients against a float64 error
            assert (after <= before * (1 + 1e-5)).all()
            before = after


def test_a_perfect_code_is_left_alone():
    weight, hessian = _problem()
    codes = code_with_feedback(weight, hessian, [2, 2])
    again = sign_pass(codes.values(), hessian, codes)
    assert torch.equal(again.values(), codes.values())


def test_input_weights_are_not_changed():
    weight, hessian = _problem()
    copy = weight.clone()
    sign_pass(weight, hessian, code_with_feedback(weight, hessian, [1, 2]))
    assert torch.equal(weight, copy)


def test_values_of_two_planes_are_sums_of_their_levels():
    levels = torch.tensor([[[-1.0, 1.0], [-0.25, 0.25]]])
    choice = torch.tensor([[0, 1, 2, 3] * 32])
    values = GroupCodes([levels], choice).values()
    assert values[0, :4].tolist() == [-1.25, 0.75, -0.75, 1.25]
