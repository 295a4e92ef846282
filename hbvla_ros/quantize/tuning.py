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
Block tuning: fit scales, means, norms and biases of a coded block to its full-precision outputs.

No sign moves and no bit is added. A few gradient steps on the calibration samples, the inputs from
the quantized stream, the wanted outputs from the full-precision one; tokens weigh by
``0.5 + 0.5 S_t``. The tuned block is kept only if it is better on all samples after its levels are
back on the int8 grid. A step beyond the paper (``doc/method.md``).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
import math
from typing import Any

from hbvla_ros.binarize.layout import GROUP
from hbvla_ros.binarize.weight import BinaryWeight, fold_planes, round_levels, segment_scales
from hbvla_ros.quantize.streams import first_output
import torch
from torch import nn
from torch.func import functional_call


@dataclass(frozen=True, kw_only=True)
class TuneSettings:
    """Steps, samples per step, and rates: of relative changes of levels, of norms and biases."""

    steps: int = 150
    batch: int = 32
    level_rate: float = 4e-3
    other_rate: float = 1e-3
    last_rate: float = 0.02  # share of the rates at the end of the cosine


class AdjustableWeight:
    """A coded weight as a differentiable function of changes of its scales and means."""

    def __init__(self, code: BinaryWeight) -> None:
        """Start at the code itself."""
        levels = code.levels.float() * segment_scales(code.layout, code.row_scale)[..., None]
        self._code = code
        self._scale = (levels[..., 1] - levels[..., 0]) / 2
        self._mean = levels.mean(dim=-1)
        self._unit = self._scale.abs().mean()
        self._signs = 2 * code.signs.unflatten(-1, (-1, GROUP)).to(torch.int8) - 1
        self.changes = [torch.zeros_like(self._scale, requires_grad=True) for _ in range(2)]

    def dense(self) -> torch.Tensor:
        """Return the weight of a dense linear, ``float32 [out, in_features]``."""
        scale, mean = self._levels()
        virtual = (mean[..., None] + scale[..., None] * self._signs).flatten(-2)
        return self._code.layout.inverse(fold_planes(virtual, self._code.layout))

    def code(self) -> BinaryWeight:
        """Return it on the level grid."""
        with torch.no_grad():
            scale, mean = self._levels()
            levels, row_scale = round_levels(
                torch.stack([mean - scale, mean + scale], dim=-1), self._code.layout
            )
        return BinaryWeight(self._code.layout, self._code.signs, levels, row_scale)

    def _levels(self) -> tuple[torch.Tensor, torch.Tensor]:
        relative, shift = self.changes
        return self._scale * (1 + relative), self._mean + self._unit * shift


@dataclass(frozen=True, eq=False)
class TuneProblem:
    """
    What a block is to give, and for what.

    ``calls`` are its arguments in the quantized stream, ``wanted(i)`` is its output in full
    precision, ``importance`` one S_t per sample.
    """

    calls: Any
    wanted: Callable[[int], torch.Tensor]
    importance: Sequence[torch.Tensor]


def tune_block(
    module: nn.Module,
    codes: Mapping[str, BinaryWeight],
    problem: TuneProblem,
    settings: TuneSettings,
    generator: torch.Generator,
) -> tuple[dict[str, BinaryWeight], float, float]:
    """
    Tune a block in place.

    :param module: the block; its norms and biases are changed, its coded weights set
    :param codes: by the linear's name inside the block
    :param problem: inputs and wanted outputs
    :param settings: of the optimiser
    :param generator: draws the samples of each step
    :return: the codes to use, and the relative squared error before and after
    """
    dtype = next(module.parameters()).dtype
    weights = {name: AdjustableWeight(code) for name, code in codes.items()}
    others = small_parameters(module, codes)
    before = _total_error(module, problem)
    with torch.enable_grad():
        _descend(module, weights, others, problem, settings, generator)
    tuned = {name: weight.code() for name, weight in weights.items()}
    kept = {name: tensor.detach().clone() for name, tensor in module.named_parameters()}
    with torch.no_grad():
        for name, code in tuned.items():
            module.get_submodule(name).weight.copy_(code.dequantize())  # type: ignore[operator]
        for name, value in others.items():
            module.get_parameter(name).copy_(value.to(dtype))
    after = _total_error(module, problem)
    if after < before:
        return tuned, before, after
    with torch.no_grad():
        for name, tensor in kept.items():
            module.get_parameter(name).copy_(tensor)
    return dict(codes), before, before


def small_parameters(module: nn.Module, coded: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Return float32 copies, to be tuned, of the vectors of a module: norms, biases, scales."""
    taken = {f'{name}.weight' for name in coded}
    return {
        name: tensor.detach().float().clone().requires_grad_()
        for name, tensor in module.named_parameters()
        if tensor.ndim == 1 and name not in taken
    }


def cosine(step: int, settings: TuneSettings) -> float:
    """Return the share of the rates at a step, from 1 down to ``last_rate``."""
    share = 0.5 * (1 + math.cos(math.pi * step / settings.steps))
    return settings.last_rate + (1 - settings.last_rate) * share


def _descend(
    module: nn.Module,
    weights: Mapping[str, AdjustableWeight],
    others: Mapping[str, torch.Tensor],
    problem: TuneProblem,
    settings: TuneSettings,
    generator: torch.Generator,
) -> None:
    dtype = next(module.parameters()).dtype
    optimizer, schedule = optimizer_of(weights.values(), others, settings)

    def loss_of(leaves: dict[str, torch.Tensor], number: int) -> torch.Tensor:
        args, kwargs = problem.calls[number]
        output = first_output(functional_call(module, leaves, args, kwargs))
        return _error(output, problem, number)

    for _ in range(settings.steps):
        order = torch.randperm(len(problem.importance), generator=generator)[: settings.batch]
        step_through(weights, others, order.tolist(), loss_of, dtype, optimizer)
        schedule.step()


def optimizer_of(
    weights: Iterable[AdjustableWeight],
    others: Mapping[str, torch.Tensor],
    settings: TuneSettings,
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    """Return Adam over levels and vectors, each with its rate, and the cosine of the rates."""
    changes = [change for weight in weights for change in weight.changes]
    groups = [{'params': changes, 'lr': settings.level_rate}]
    if others:
        groups.append({'params': list(others.values()), 'lr': settings.other_rate})
    optimizer = torch.optim.Adam(groups)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: cosine(step, settings)
    )


def step_through(
    weights: Mapping[str, AdjustableWeight],
    others: Mapping[str, torch.Tensor],
    order: Sequence[int],
    loss_of: Callable[[dict[str, torch.Tensor], int], torch.Tensor],
    dtype: torch.dtype,
    optimizer: torch.optim.Optimizer,
) -> float:
    """
    Take one step of the optimiser; only one sample's graph is in memory at a time.

    :param weights: by the name of their linear
    :param others: vectors by the name of their parameter
    :param order: numbers of the samples
    :param loss_of: gives the loss of one sample for values of the parameters
    :param dtype: in which the network computes
    :param optimizer: of all that is adjusted
    :return: the mean loss
    """
    made = {f'{name}.weight': weight.dense() for name, weight in weights.items()}
    made |= others
    leaves = {name: made[name].detach().to(dtype).requires_grad_() for name in made}
    total = 0.0
    for number in order:
        loss = loss_of(leaves, number) / len(order)
        loss.backward()
        total += float(loss.detach())
    optimizer.zero_grad()
    slopes = {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
    torch.autograd.backward(
        [made[name] for name in slopes],
        [slope.to(made[name].dtype) for name, slope in slopes.items()],
    )
    optimizer.step()
    return total


def _error(output: torch.Tensor, problem: TuneProblem, number: int) -> torch.Tensor:
    """Return the weighted squared error of one sample, relative to the wanted output's."""
    wanted = problem.wanted(number).float()
    weight = 0.5 + 0.5 * problem.importance[number].to(wanted)
    away = (output.float() - wanted).square().mean(dim=-1)
    return (weight * away).mean() / wanted.square().mean().clamp_min(1e-12)


@torch.no_grad()
def _total_error(module: nn.Module, problem: TuneProblem) -> float:
    errors = []
    for number in range(len(problem.importance)):
        args, kwargs = problem.calls[number]
        errors.append(_error(first_output(module(*args, **kwargs)), problem, number))
    return float(torch.stack(errors).mean())
