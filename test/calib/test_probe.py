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

"""The probe and token importance."""

from hbvla_ros.calib.importance import normalize_importance, token_norms
from hbvla_ros.calib.probe import demonstration_importance, jacobian_importance
from hbvla_ros.core.errors import CalibrationError
from hypothesis import given
from hypothesis import strategies as st
import pytest
import torch
from torch import nn


class _Block(nn.Module):
    """A residual block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.tanh(self.linear(x))


def _model(tokens=6, width=8, seed=0):
    torch.manual_seed(seed)
    blocks = {'a': _Block(width), 'b': _Block(width)}
    for block in blocks.values():
        block.requires_grad_(requires_grad=False)
    x = torch.randn(1, tokens, width)

    def predict():
        z = blocks['b'](blocks['a'](x))
        return z[:, :2].mean(dim=2)  # only tokens 0 and 1 are read

    return blocks, predict


def _probe(blocks, predict, draws=4, seed=0):
    return jacobian_importance(predict, blocks, draws, torch.Generator().manual_seed(seed))[0]


@given(
    scores=st.lists(st.floats(0, 1e6), min_size=2, max_size=50),
    factor=st.floats(1e-3, 1e3),
)
def test_importance_has_mean_one_and_ignores_the_scale_of_the_loss(scores, factor):
    s = torch.tensor(scores, dtype=torch.float64)
    one = normalize_importance(s)
    assert one.mean().item() == pytest.approx(1)
    torch.testing.assert_close(one, normalize_importance(s * factor))


def test_no_token_is_ignored_and_none_rules_alone():
    s = torch.zeros(1000)
    s[0] = 1
    got = normalize_importance(s)
    assert got.min() > 0
    assert got[0] / got[1] == pytest.approx(20 / 0.05)


def test_norms_worked_by_hand():
    assert token_norms(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).tolist() == [5.0, 0.0]


def test_tokens_that_no_head_reads_are_least_important():
    scores = _probe(*_model())
    for score in scores.values():
        assert score.shape == (1, 6)
        assert score[0, :2].min() > score[0, 2:].max()


def test_equal_seeds_give_equal_importance():
    one, two = _probe(*_model()), _probe(*_model())
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_the_distance_to_itself_has_no_gradient_but_the_probe_has():
    # The trap that the random projection avoids.
    blocks, predict = _model()
    target = predict().detach()
    z = torch.zeros(1, 6, 8, requires_grad=True)
    loss = ((blocks['b'](blocks['a'](z * 0 + 1)) * 0 + target.mean() - target.mean()) ** 2).sum()
    assert torch.autograd.grad(loss, z)[0].abs().max() == 0
    assert _probe(blocks, predict)['a'].std() > 0


def test_the_first_order_change_of_the_loss_is_the_sum_over_tokens():
    # Theorem 1: the remainder falls with the square of the perturbation.
    blocks, _ = _model()
    x = torch.randn(1, 6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    first, second = (blocks[name].double() for name in ('a', 'b'))
    u = torch.randn(1, 6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(6))

    def loss(z):
        return (u * second(z)).sum()

    z = first(x).detach().requires_grad_()
    (g,) = torch.autograd.grad(loss(z), z)
    direction = torch.randn(first.linear.weight.shape, dtype=torch.float64)
    base, ratios = first.linear.weight.detach().clone(), []
    for size in (1e-2, 1e-3, 1e-4):
        with torch.no_grad():
            first.linear.weight.copy_(base + size * direction)
            moved = first(x)
            remainder = loss(moved) - loss(z) - (g * (moved - z)).sum()
        ratios.append(abs(remainder.item()) / size**2)
    assert max(ratios) < 3 * min(ratios) + 1e-6


def _demonstration(predict, seed=1):
    """Return actions half a unit or more away from the predicted ones, on either side."""
    actions = predict()
    g = torch.Generator().manual_seed(seed)
    return actions + torch.randn(actions.shape, generator=g).sign() * 0.5


def test_demonstrations_weigh_tokens_by_the_gradient_of_the_l1_error():
    # Worked out again without hooks: the sign of each error times the slope of the action.
    blocks, predict = _model()
    demonstrated = _demonstration(predict)
    scores, actions = demonstration_importance(predict, blocks, demonstrated)
    torch.testing.assert_close(actions, predict())
    z = _first_output(blocks, predict).requires_grad_()
    answer = blocks['b'](z)[:, :2].mean(dim=2)
    signs = torch.sign(answer - demonstrated) / answer.numel()
    (gradient,) = torch.autograd.grad((signs.detach() * answer).sum(), z)
    torch.testing.assert_close(scores['a'], normalize_importance(gradient.norm(dim=-1)))


def _first_output(blocks, predict):
    kept = []
    handle = blocks['a'].register_forward_hook(lambda m, i, o: kept.append(o))
    predict()
    handle.remove()
    return kept[0].detach()


def test_demonstrated_importance_ignores_the_scale_of_the_loss():
    blocks, predict = _model()
    demonstrated = _demonstration(predict)
    one, _ = demonstration_importance(predict, blocks, demonstrated)
    # Actions and demonstration ten times as large: the loss and all gradients are, too.
    ten, _ = demonstration_importance(lambda: 10 * predict(), blocks, 10 * demonstrated)
    for name in blocks:
        torch.testing.assert_close(one[name], ten[name])
        assert one[name].mean().item() == pytest.approx(1)


def test_tokens_without_a_gradient_keep_the_floor():
    blocks, predict = _model()
    scores, _ = demonstration_importance(predict, blocks, _demonstration(predict))
    last = scores['b'][0]  # after the last block only tokens 0 and 1 are read
    assert (last[2:] == last[2]).all()
    mean = last[:2].sum() / 6  # what the mean was before the floor, up to the last scaling
    assert last[2] == pytest.approx(0.05 * mean.item(), rel=1e-5)


def test_only_the_side_of_a_demonstration_counts_not_its_distance():
    # L1: the gradient is the sign of the error.
    blocks, predict = _model()
    away = _demonstration(predict) - predict()
    near, _ = demonstration_importance(predict, blocks, predict() + 0.1 * away)
    far, _ = demonstration_importance(predict, blocks, predict() + away)
    torch.testing.assert_close(near['a'], far['a'])


def test_the_models_own_prediction_is_no_demonstration():
    blocks, predict = _model()
    with pytest.raises(CalibrationError, match='exactly what the model predicts'):
        demonstration_importance(predict, blocks, predict())
    assert not blocks['a']._forward_hooks


def test_a_leading_one_may_be_left_out_of_the_demonstration():
    blocks, predict = _model()
    demonstrated = _demonstration(predict)
    whole, _ = demonstration_importance(predict, blocks, demonstrated)
    bare, _ = demonstration_importance(predict, blocks, demonstrated[0])
    assert torch.equal(whole['a'], bare['a'])


def test_a_demonstration_that_does_not_fit_is_refused():
    blocks, predict = _model()
    with pytest.raises(CalibrationError, match=r'\(1, 3\) do not fit the predicted ones \(1, 2\)'):
        demonstration_importance(predict, blocks, torch.zeros(1, 3))
    with pytest.raises(CalibrationError, match='not finite'):
        demonstration_importance(predict, blocks, torch.full((1, 2), torch.nan))


def test_both_probes_work_where_gradients_are_switched_off():
    blocks, predict = _model()
    with torch.no_grad():
        demonstrated = _demonstration(predict)
        assert demonstration_importance(predict, blocks, demonstrated)[0]['a'].std() > 0
        assert _probe(blocks, predict)['a'].std() > 0


def test_a_block_that_does_not_run_is_named():
    blocks, predict = _model()
    with pytest.raises(CalibrationError, match='lonely'):
        _probe({**blocks, 'lonely': nn.Identity()}, predict)
    assert not blocks['a']._forward_hooks
