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
Quantize a model block by block, so that each block sees the errors of those before it.

Pass 1 probes the full-precision model for token importance. Then, per block: collect the moments
of each family's input, quantize the families, put the quantized weights in place and recompute the
block's outputs. Source: arXiv 2602.13710, algorithm as read in ``doc/method.md``.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
import time
from typing import Any

from hbvla_ros.binarize.method import FamilyStats, Method, output_error
from hbvla_ros.binarize.target import corrected_target
from hbvla_ros.binarize.weight import BinaryWeight
from hbvla_ros.calib.hessian import HessianAccumulator
from hbvla_ros.calib.probe import jacobian_importance
from hbvla_ros.core.errors import ConfigError
from hbvla_ros.models.base import Block, COMPONENTS, VlaModel
from hbvla_ros.models.surgery import find_linear
from hbvla_ros.quantize.job import CORRECTED
from hbvla_ros.quantize.streams import Streams
import torch


@dataclass(frozen=True, eq=False)
class QuantizedLayer:
    """A quantized linear with what was measured on it."""

    weight: BinaryWeight
    component: str
    family: str
    output_error: float
    policy_error: float
    seconds: float


@dataclass(eq=False)
class BlockJob:
    """
    The state of a running job; ``layers`` and ``skipped`` are complete when it ends.

    ``target`` is ``plain`` or ``corrected`` (``binarize/target.py``, two streams). ``inputs`` are
    prepared model inputs, one per sample; ``actions`` the full-precision answers;
    ``importance`` maps a block's name to one S_t per sample.
    """

    model: VlaModel
    inputs: Sequence[Any]
    method: Method
    config: Any
    components: Sequence[str]
    protect: Sequence[str]
    target: str
    clock: Callable[[], float] = time.perf_counter  # only for the seconds of the report
    layers: dict[str, QuantizedLayer] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    actions: list[torch.Tensor] = field(default_factory=list)
    importance: dict[str, list[torch.Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.components) - set(COMPONENTS))
        if unknown or not self.components:
            raise ConfigError(f'unknown components {unknown}; choose from {list(COMPONENTS)}')
        self.skipped |= self.model.kept()

    def plan(self) -> list[Block]:
        """
        Drop what is not to be quantized; every linear left out is noted with the reason.

        :raises ConfigError: if nothing is left
        """
        plan = []
        for block in self.model.blocks():
            families = tuple(
                family
                for family in (self._open(block, names) for names in block.families)
                if family
            )
            if families:
                plan.append(Block(block.name, block.chain, block.component, families))
        if not plan:
            raise ConfigError('nothing is left to quantize: check components and protect')
        return plan

    def _open(self, block: Block, names: Sequence[str]) -> tuple[str, ...]:
        kept = []
        for name in names:
            pattern = next((p for p in self.protect if fnmatch(name, p)), None)
            if block.component not in self.components:
                self.skipped[name] = f'component {block.component} was not chosen'
            elif pattern is not None:
                self.skipped[name] = f'protected by pattern {pattern}'
            else:
                kept.append(name)
        return tuple(kept)


def probe_importance(job: BlockJob, plan: Sequence[Block], draws: int, seed: int) -> Iterator[int]:
    """
    Measure token importance on the full-precision model, sample by sample.

    :param job: ``actions`` and ``importance`` are filled in on the way
    :param plan: blocks whose outputs are watched
    :param draws: random projections per sample
    :param seed: of the projections
    :return: after each sample, how many are done
    """
    job.model.requires_grad_(requires_grad=False)
    generator = torch.Generator().manual_seed(seed)
    modules = {block.name: job.model.get_submodule(block.name) for block in plan}
    job.importance = {name: [] for name in modules}
    for number, inputs in enumerate(job.inputs, start=1):
        scores, actions = jacobian_importance(
            lambda inputs=inputs: job.model(inputs),  # type: ignore[misc]
            modules,
            draws,
            generator,
        )
        job.actions.append(actions)
        for name, score in scores.items():
            job.importance[name].append(score)
        yield number


@torch.no_grad()
def quantize_blocks(job: BlockJob, plan: Sequence[Block]) -> Iterator[tuple[Block, float]]:
    """
    Quantize the planned blocks in order; the model's weights are replaced by dequantized ones.

    :param job: probed; ``layers`` is filled in
    :param plan: what :meth:`BlockJob.plan` returned
    :return: after each block, the block and its mean output error
    """
    streams = Streams(job.model, job.inputs, plan, two=job.target == CORRECTED)
    for block in plan:
        streams.enter(block)
        for families in _together(job, block):
            stats = streams.collect(block, families, job.importance[block.name])
            for names in families:
                _quantize_family(job, block, names, stats.pop(names[0]))
        streams.leave(block)
        errors = [job.layers[name].output_error for names in block.families for name in names]
        yield block, sum(errors) / len(errors)


def _together(job: BlockJob, block: Block) -> Sequence[Sequence[Sequence[str]]]:
    """
    Group the families whose inputs are collected in one run of the block.

    With a plain target all of them, with the block's original weights. A corrected target must see
    what the families before it in the block have already put right, or it would do so again.
    """
    return [[names] for names in block.families] if job.target == CORRECTED else [block.families]


def _quantize_family(
    job: BlockJob, block: Block, names: Sequence[str], moments: HessianAccumulator
) -> None:
    started = job.clock()
    linears = [find_linear(job.model, name) for name in names]
    weights = [linear.weight.detach().to('cpu', torch.float32, copy=True) for linear in linears]
    stats = FamilyStats(
        moments.plain(), moments.corrected(), moments.plain_shift(), moments.corrected_shift()
    )
    if job.target == CORRECTED:
        weights = corrected_target(weights, stats, getattr(job.config, 'corrected', 0.0))
    coded = job.method.quantize(weights, stats, job.config)
    seconds = job.clock() - started
    for name, linear, before, code in zip(names, linears, weights, coded, strict=True):
        after = code.dequantize()
        linear.weight.copy_(after)
        job.layers[name] = QuantizedLayer(
            weight=code,
            component=block.component,
            family=names[0],
            output_error=output_error(before, after, stats.plain),
            policy_error=output_error(before, after, stats.corrected),
            seconds=seconds,
        )
