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

"""
Measure without labels how strongly each token of each block moves the action.

The loss is ``<u, a>`` with random ``u ~ N(0, I)`` in normalised action space; the expectation of
its squared gradient is the squared Jacobian of the action. A distance of the model to itself can't
serve: its gradient is zero. Source: ``doc/method.md``
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hbvla_ros.calib.importance import normalize_importance, token_norms
from hbvla_ros.core.errors import CalibrationError
import torch
from torch import nn


def jacobian_importance(
    predict: Callable[[], torch.Tensor],
    blocks: Mapping[str, nn.Module],
    draws: int,
    generator: torch.Generator,
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """
    Measure the importance of every token at every block output, for one sample.

    :param predict: runs the model on the sample, returns normalised actions; parameters are frozen
    :param blocks: name to module, each run exactly once by ``predict``
    :param draws: random projections to average over
    :param generator: source of the projections, on the CPU
    :return: block name to S_t ``[..., T]`` with mean 1, and the actions
    :raises CalibrationError: if a block did not run or the gradient is not finite
    """
    outputs: dict[str, torch.Tensor] = {}
    handles = [
        module.register_forward_hook(_keep_output(outputs, name))
        for name, module in blocks.items()
    ]
    try:
        with torch.enable_grad():
            actions = predict()
    finally:
        for handle in handles:
            handle.remove()
    missing = [name for name in blocks if name not in outputs]
    if missing:
        raise CalibrationError(f'blocks that did not run: {missing[:3]}')
    scores = _gradient_norms(actions, list(outputs.values()), draws, generator)
    by_name = dict(zip(outputs, scores, strict=True))
    return {name: normalize_importance(by_name[name]) for name in blocks}, actions.detach()


def _gradient_norms(
    actions: torch.Tensor,
    outputs: Sequence[torch.Tensor],
    draws: int,
    generator: torch.Generator,
) -> list[torch.Tensor]:
    total = [torch.zeros(z.shape[:-1]) for z in outputs]
    for draw in range(draws):
        u = torch.randn(actions.shape, generator=generator).to(actions)
        gradients = torch.autograd.grad(
            (u * actions).sum(), outputs, retain_graph=draw + 1 < draws, allow_unused=True
        )
        for running, gradient in zip(total, gradients, strict=True):
            if gradient is not None:
                running += token_norms(gradient).cpu() / draws
    if not all(torch.isfinite(score).all() for score in total):
        raise CalibrationError('the probe gradient is not finite; check the checkpoint for NaN')
    return total


def _keep_output(outputs: dict[str, torch.Tensor], name: str) -> Callable[..., Any]:
    def hook(module: nn.Module, args: Any, output: Any) -> Any:
        del module, args
        first = output[0] if isinstance(output, tuple) else output
        if not first.requires_grad:  # parameters are frozen: the graph starts here
            first = first.detach().requires_grad_()
        outputs[name] = first
        return (first, *output[1:]) if isinstance(output, tuple) else first

    return hook
