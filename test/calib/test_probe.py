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
from hbvla_ros.calib.probe import jacobian_importance
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


def test_a_block_that_does_not_run_is_named():
    blocks, predict = _model()
    with pytest.raises(CalibrationError, match='lonely'):
        _probe({**blocks, 'lonely': nn.Identity()}, predict)
    assert not blocks['a']._forward_hooks
