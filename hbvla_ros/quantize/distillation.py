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
The last stage of tuning: fit all scales, means, norms and biases to the actions of full precision.

The whole model is the student, the recorded answers of full precision are the teacher: no labels,
no sign moves, no bit is added. The loss is the L1 distance of the actions plus the mean relative
error at the end of every chain of blocks. What is not better on the samples after the levels are
back on the int8 grid is not kept. A step beyond the paper (``doc/method.md``).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from hbvla_ros.binarize.weight import BinaryWeight
from hbvla_ros.models.base import Block
from hbvla_ros.quantize.state import BlockJob
from hbvla_ros.quantize.streams import first_output
from hbvla_ros.quantize.tuning import (
    AdjustableWeight,
    optimizer_of,
    small_parameters,
    step_through,
)
import torch
from torch.func import functional_call


@dataclass(frozen=True, eq=False)
class Student:
    """What is adjusted: coded weights by the linear's name, vectors by the parameter's name."""

    weights: Mapping[str, AdjustableWeight]
    others: Mapping[str, torch.Tensor]


def distill(job: BlockJob, plan: Sequence[Block], steps: int, seed: int) -> Iterator[float]:
    """
    Tune a quantized model end to end; its weights and ``job.layers`` are replaced if it helps.

    :param job: every planned block is quantized; ``stages`` holds the ends of the chains
    :param plan: the blocks
    :param steps: of the optimiser
    :param seed: draws the samples of each step
    :return: the loss of every step
    """
    settings = replace(job.options.tuning, steps=steps)
    student = _student(job, plan)
    before = _action_error(job)
    generator = torch.Generator().manual_seed(seed)
    optimizer, schedule = optimizer_of(student.weights.values(), student.others, settings)
    for _ in range(settings.steps):
        order = torch.randperm(len(job.inputs), generator=generator)[: settings.batch].tolist()
        with torch.enable_grad():
            loss = step_through(
                student.weights,
                student.others,
                order,
                lambda leaves, number: _loss(job, leaves, number),
                next(job.model.parameters()).dtype,
                optimizer,
            )
        schedule.step()
        yield loss
    _finish(job, student, before)


def _student(job: BlockJob, plan: Sequence[Block]) -> Student:
    weights = {
        name: AdjustableWeight(layer.weight)
        for name, layer in job.layers.items()
        if isinstance(layer.weight, BinaryWeight)
    }
    others = {}
    for block in plan:
        module = job.model.get_submodule(block.name)
        for name, tensor in small_parameters(module, {}).items():
            others[f'{block.name}.{name}'] = tensor
    return Student(weights, others)


def _loss(job: BlockJob, leaves: Mapping[str, torch.Tensor], number: int) -> torch.Tensor:
    ends: dict[str, torch.Tensor] = {}

    def keep(name: str) -> torch.utils.hooks.RemovableHandle:
        module = job.model.get_submodule(name)
        return module.register_forward_hook(
            lambda _m, _a, output: ends.__setitem__(name, first_output(output))
        )

    handles = [keep(name) for name in job.stages]
    try:
        actions = functional_call(job.model, dict(leaves), (job.inputs[number],))
    finally:
        for handle in handles:
            handle.remove()
    loss: torch.Tensor = (actions.float() - job.actions[number].float()).abs().mean()
    for name, kept in job.stages.items():
        wanted = kept[number].get().float()
        error = (ends[name].float() - wanted).square().mean()
        loss = loss + error / wanted.square().mean().clamp_min(1e-12) / len(job.stages)
    return loss


@torch.no_grad()
def _action_error(job: BlockJob) -> float:
    changes = [
        (job.model(inputs) - before).abs().mean()
        for inputs, before in zip(job.inputs, job.actions, strict=True)
    ]
    return float(torch.stack(changes).mean())


@torch.no_grad()
def _finish(job: BlockJob, student: Student, before: float) -> None:
    """Put the tuned weights in place; put the old ones back if the actions are not nearer."""
    names = {f'{name}.weight' for name in student.weights} | set(student.others)
    old = {name: job.model.get_parameter(name).detach().clone() for name in sorted(names)}
    codes = {name: weight.code() for name, weight in student.weights.items()}
    for name, code in codes.items():
        job.model.get_parameter(f'{name}.weight').copy_(code.dequantize())
    for name, tensor in student.others.items():
        job.model.get_parameter(name).copy_(tensor)
    after = _action_error(job)
    if after < before:
        for name, code in codes.items():
            job.layers[name] = replace(job.layers[name], weight=code)
        job.distilled = before, after
        return
    for name, tensor in old.items():
        job.model.get_parameter(name).copy_(tensor)
    job.distilled = before, before
