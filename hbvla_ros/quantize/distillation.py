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

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from hbvla_ros.binarize.weight import BinaryWeight
from hbvla_ros.models.base import Block, VlaModel
from hbvla_ros.quantize.activations import KeptTensor
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
class Lessons:
    """
    What full precision does on some observations.

    ``inputs`` are prepared model inputs, ``actions`` the answers, ``ends`` the outputs of the last
    block of every chain by its name; one each per observation.
    """

    inputs: Sequence[Any]
    actions: Sequence[torch.Tensor]
    ends: Mapping[str, Sequence[KeptTensor]]


@dataclass(frozen=True, eq=False)
class Student:
    """What is adjusted: coded weights by the linear's name, vectors by the parameter's name."""

    weights: Mapping[str, AdjustableWeight]
    others: Mapping[str, torch.Tensor]


@torch.no_grad()
def teach(job: BlockJob, plan: Sequence[Block], inputs: Sequence[Any]) -> Lessons:
    """
    Record what full precision does.

    :param job: nothing quantized yet
    :param plan: the blocks
    :param inputs: prepared model inputs, one per observation
    """
    names = {block.chain: block.name for block in plan}.values()
    actions: list[torch.Tensor] = []
    ends: dict[str, list[KeptTensor]] = {name: [] for name in names}
    for one in inputs:
        with _watched(job.model, ends) as seen:
            actions.append(job.model(one).detach().clone())
        for name, output in seen.items():
            ends[name].append(job.activations.keep(output))
    return Lessons(inputs, actions, ends)


def distill(
    job: BlockJob, plan: Sequence[Block], lessons: Lessons, steps: int, seed: int
) -> Iterator[float]:
    """
    Tune a quantized model end to end; its weights and ``job.layers`` are replaced if it helps.

    :param job: every planned block is quantized
    :param plan: the blocks
    :param lessons: what to imitate
    :param steps: of the optimiser
    :param seed: draws the samples of each step
    :return: the loss of every step
    """
    settings = replace(job.options.tuning, steps=steps)
    student = _student(job, plan)
    before = _action_error(job.model, lessons)
    generator = torch.Generator().manual_seed(seed)
    optimizer, schedule = optimizer_of(student.weights.values(), student.others, settings)
    for _ in range(settings.steps):
        order = torch.randperm(len(lessons.inputs), generator=generator)[: settings.batch].tolist()
        with torch.enable_grad():
            loss = step_through(
                student.weights,
                student.others,
                order,
                lambda leaves, number: _loss(job.model, lessons, leaves, number),
                next(job.model.parameters()).dtype,
                optimizer,
            )
        schedule.step()
        yield loss
    _finish(job, student, lessons, before)


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


@contextmanager
def _watched(
    model: VlaModel, names: Iterable[str]
) -> Generator[dict[str, torch.Tensor], None, None]:
    """Collect the outputs of some blocks in the runs inside."""
    seen: dict[str, torch.Tensor] = {}

    def watch(name: str) -> torch.utils.hooks.RemovableHandle:
        return model.get_submodule(name).register_forward_hook(
            lambda _m, _a, output: seen.__setitem__(name, first_output(output))
        )

    handles = [watch(name) for name in names]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _loss(
    model: VlaModel, lessons: Lessons, leaves: Mapping[str, torch.Tensor], number: int
) -> torch.Tensor:
    with _watched(model, lessons.ends) as ends:
        actions = functional_call(model, dict(leaves), (lessons.inputs[number],))
    loss: torch.Tensor = (actions.float() - lessons.actions[number].float()).abs().mean()
    for name, kept in lessons.ends.items():
        wanted = kept[number].get().float()
        error = (ends[name].float() - wanted).square().mean()
        loss = loss + error / wanted.square().mean().clamp_min(1e-12) / len(lessons.ends)
    return loss


@torch.no_grad()
def _action_error(model: VlaModel, lessons: Lessons) -> float:
    changes = [
        (model(inputs) - before).abs().mean()
        for inputs, before in zip(lessons.inputs, lessons.actions, strict=True)
    ]
    return float(torch.stack(changes).mean())


@torch.no_grad()
def _finish(job: BlockJob, student: Student, lessons: Lessons, before: float) -> None:
    """Put the tuned weights in place; put the old ones back if the actions are not nearer."""
    names = {f'{name}.weight' for name in student.weights} | set(student.others)
    old = {name: job.model.get_parameter(name).detach().clone() for name in sorted(names)}
    codes = {name: weight.code() for name, weight in student.weights.items()}
    for name, code in codes.items():
        job.model.get_parameter(f'{name}.weight').copy_(code.dequantize())
    for name, tensor in student.others.items():
        job.model.get_parameter(name).copy_(tensor)
    after = _action_error(job.model, lessons)
    if after < before:
        for name, code in codes.items():
            job.layers[name] = replace(job.layers[name], weight=code)
        job.distilled = before, after
        return
    for name, tensor in old.items():
        job.model.get_parameter(name).copy_(tensor)
    job.distilled = before, before
