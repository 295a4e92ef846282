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
Measure how strongly each token of each block moves a scalar of the action.

Without labels the scalar is ``<u, a>`` with random ``u ~ N(0, I)`` in normalised action space; the
expectation of its squared gradient is the squared Jacobian of the action. With demonstrations it
is the L1 distance to the demonstrated actions. A distance of the model to itself can't serve: its
gradient is zero. Source: ``doc/method.md``
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hbvla_ros.calib.importance import normalize_importance, token_norms
from hbvla_ros.core.errors import CalibrationError
import torch
from torch import nn

Importance = tuple[dict[str, torch.Tensor], torch.Tensor]


def jacobian_importance(
    predict: Callable[[], torch.Tensor],
    blocks: Mapping[str, nn.Module],
    draws: int,
    generator: torch.Generator,
) -> Importance:
    """
    Measure the importance of every token at every block output, for one sample, without labels.

    :param predict: runs the model on the sample, returns normalised actions; parameters are frozen
    :param blocks: name to module, each run exactly once by ``predict``
    :param draws: random projections to average over
    :param generator: source of the projections, on the CPU
    :return: block name to S_t ``[..., T]`` with mean 1, and the actions
    :raises CalibrationError: if a block did not run or the gradient is not finite
    """

    def projections(actions: torch.Tensor) -> list[torch.Tensor]:
        draw = (torch.randn(actions.shape, generator=generator) for _ in range(draws))
        return [(u.to(actions) * actions).sum() for u in draw]

    return _importance(predict, blocks, projections)


def demonstration_importance(
    predict: Callable[[], torch.Tensor],
    blocks: Mapping[str, nn.Module],
    demonstrated: torch.Tensor,
) -> Importance:
    """
    Measure the importance of every token at every block output by the error of one demonstration.

    The loss is the mean of ``|predicted - demonstrated|``. An action that is already met exactly
    adds nothing, for the distance has no slope there.

    :param predict: runs the model on the sample, returns normalised actions; parameters are frozen
    :param blocks: name to module, each run exactly once by ``predict``
    :param demonstrated: normalised actions of the shape that ``predict`` returns, a leading 1 may
        be left out
    :return: block name to S_t ``[..., T]`` with mean 1, and the predicted actions
    :raises CalibrationError: if a block did not run, the shapes differ, a value is not finite, or
        the demonstration is the model's own prediction
    """
    return _importance(predict, blocks, lambda actions: [_action_error(actions, demonstrated)])


def _action_error(actions: torch.Tensor, demonstrated: torch.Tensor) -> torch.Tensor:
    if demonstrated.shape not in (actions.shape, actions.shape[1:]):
        raise CalibrationError(
            f'demonstrated actions {tuple(demonstrated.shape)} do not fit the predicted ones '
            f'{tuple(actions.shape)}'
        )
    loss = (actions.float() - demonstrated.to(actions.device, torch.float32)).abs().mean()
    if not torch.isfinite(loss):
        raise CalibrationError('the demonstrated or the predicted actions are not finite')
    if not loss > 0:
        raise CalibrationError(
            'the demonstration is exactly what the model predicts, so its error has no gradient; '
            'bring recorded actions or use the jacobian probe'
        )
    return loss


def _importance(
    predict: Callable[[], torch.Tensor],
    blocks: Mapping[str, nn.Module],
    losses_of: Callable[[torch.Tensor], Sequence[torch.Tensor]],
) -> Importance:
    """Average the gradient norms of all losses at all block outputs and normalise per block."""
    with torch.enable_grad():
        actions, outputs = _watched(predict, blocks)
        losses = losses_of(actions)
    total = {name: torch.zeros(z.shape[:-1]) for name, z in outputs.items()}
    for number, loss in enumerate(losses, start=1):
        gradients = torch.autograd.grad(
            loss,
            list(outputs.values()),
            retain_graph=number < len(losses),
            allow_unused=True,
        )
        for name, gradient in zip(outputs, gradients, strict=True):
            if gradient is not None:
                total[name] += token_norms(gradient).cpu() / len(losses)
    if not all(torch.isfinite(score).all() for score in total.values()):
        raise CalibrationError('the probe gradient is not finite; check the checkpoint for NaN')
    return {name: normalize_importance(total[name]) for name in blocks}, actions.detach()


def _watched(
    predict: Callable[[], torch.Tensor], blocks: Mapping[str, nn.Module]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Run the model; return the actions and the blocks' outputs in the order in which they ran."""
    outputs: dict[str, torch.Tensor] = {}
    handles = [
        module.register_forward_hook(_keep_output(outputs, name))
        for name, module in blocks.items()
    ]
    try:
        actions = predict()
    finally:
        for handle in handles:
            handle.remove()
    missing = [name for name in blocks if name not in outputs]
    if missing:
        raise CalibrationError(f'blocks that did not run: {missing[:3]}')
    return actions, outputs


def _keep_output(outputs: dict[str, torch.Tensor], name: str) -> Callable[..., Any]:
    def hook(module: nn.Module, args: Any, output: Any) -> Any:
        del module, args
        first = output[0] if isinstance(output, tuple) else output
        if not first.requires_grad:  # parameters are frozen: the graph starts here
            first = first.detach().requires_grad_()
        outputs[name] = first
        return (first, *output[1:]) if isinstance(output, tuple) else first

    return hook
