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

"""Theorem 1 of the paper on a block of the real network."""

from builders import robot
from hbvla_ros.binarize.method import damped
from hbvla_ros.calib.hessian import HessianAccumulator
from hbvla_ros.calib.importance import normalize_importance
from hbvla_ros.core.scene import synthetic_observations
from hbvla_ros.models.openvla_oft.checkpoint import load_checkpoint
import pytest
import torch


@pytest.fixture
def model(tiny_run):
    """Return the tiny network in float64."""
    return load_checkpoint(tiny_run / 'checkpoint', preset='aloha', dtype=torch.float64)


@pytest.mark.parametrize('part', ['self_attn.q_proj', 'mlp.down_proj'])
def test_the_remainder_of_the_first_order_falls_with_the_square_of_the_perturbation(model, part):
    # L(theta + d) - L(theta) = sum_t <g_t, dz_t> + O(|d|^2), g_t at the output of the block
    inputs = model.prepare(synthetic_observations(robot(), 1, seed=0)[0])
    block = model.language_model.model.layers[0]
    weight = block.get_submodule(part).weight
    g = torch.Generator().manual_seed(0)
    u = torch.randn(1, 25, 14, generator=g, dtype=torch.float64)
    outputs = []

    def keep(_module, _args, output):
        first = output[0] if isinstance(output, tuple) else output
        if not first.requires_grad:
            first = first.detach().requires_grad_()
        outputs.append(first)
        return (first, *output[1:]) if isinstance(output, tuple) else first

    handle = block.register_forward_hook(keep)
    loss = (u * model(inputs)).sum()
    (slope,) = torch.autograd.grad(loss, outputs)
    base, direction = weight.clone(), torch.randn(weight.shape, generator=g, dtype=torch.float64)
    before, z = loss.item(), outputs[0].detach()
    ratios = []
    for size in (4e-3, 2e-3, 1e-3):
        outputs.clear()
        with torch.no_grad():
            weight.copy_(base + size * direction)
            change = (u * model(inputs)).sum().item() - before
        first_order = (slope * (outputs[0] - z)).sum().item()
        assert abs(change - first_order) < abs(first_order)
        ratios.append(abs(change - first_order) / size**2)
    handle.remove()
    # bounded; actions leave the network in float32, which is why no smaller size is tried
    assert max(ratios) < 5 * min(ratios)


def test_the_corrected_hessian_is_symmetric_and_once_damped_positive_definite():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(40, 64, generator=g)  # fewer tokens than columns: singular without damping
    scores = normalize_importance(torch.rand(40, generator=g) ** 8)
    moments = HessianAccumulator(64, torch.float64)
    moments.update(x, scores)
    corrected = moments.corrected()
    torch.testing.assert_close(corrected, corrected.T)
    eigenvalues = torch.linalg.eigvalsh(damped(corrected, 0.01)[0])
    assert torch.linalg.eigvalsh(corrected).min() < 1e-9 < eigenvalues.min()
