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
How much each family of linears moves the action when it alone is binarized, and what to do of it.

A second plane cuts the error of a family about tenfold; it pays where a family moves the action
much for its size. Families are measured one at a time: coded with the statistics of all samples of
the calibration and full-precision inputs, and judged by the actions on a part of these. A step
beyond the paper (``doc/method.md``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
import math
from typing import Any

from hbvla_ros.binarize.method import FamilyStats
from hbvla_ros.binarize.recipe import RecipeConfig
from hbvla_ros.binarize.weight import BinaryWeight
from hbvla_ros.core.errors import ConfigError
from hbvla_ros.kernels.packing import packed_bytes, permutation_bytes
from hbvla_ros.models.base import Block
from hbvla_ros.models.surgery import find_linear
from hbvla_ros.quantize.spread import spread
from hbvla_ros.quantize.state import BlockJob
from hbvla_ros.quantize.streams import Streams
import torch

_SWEEPS = 2  # enough to rank families
_ASKED = 64  # samples, evenly spread, that the action is asked for: enough to rank families, too


@dataclass(frozen=True, kw_only=True)
class FamilySensitivity:
    """
    One family alone: mean squared change of the normalised actions with one and two planes.

    ``bits_one`` and ``bits_two`` are all stored bits of the family.
    """

    family: str
    component: str
    weights: int
    bits_one: int
    bits_two: int
    error_one: float
    error_two: float

    @property
    def gain_per_bit(self) -> float:
        """
        Return by how much a stored bit of a second plane lowers the squared action error.

        Infinite where two planes take no more bits, as they may beside many salient columns.
        """
        gain, more = self.error_one - self.error_two, self.bits_two - self.bits_one
        if more > 0:
            return gain / more
        return math.inf if gain > 0 else 0.0


@torch.no_grad()
def measure(job: BlockJob, plan: Sequence[Block]) -> Iterator[FamilySensitivity]:
    """
    Measure all planned families; the model is the same afterwards.

    :param job: probed, nothing quantized yet
    :param plan: what :meth:`BlockJob.plan` returned
    :return: one row per family, in the order of the plan
    :raises ConfigError: if the method has no choice of planes
    """
    one, two = first_plane(job.config), second_plane(job.config)
    streams = Streams(job.model, job.inputs, plan, job.activations, two=False)
    for block in plan:
        streams.enter(block)
        stats = streams.collect(block, block.families, job.importance[block.name])
        for names in block.families:
            moments = stats.pop(names[0])
            family = FamilyStats(moments.plain(), moments.corrected())
            results = [_alone(job, names, family, config) for config in (one, two)]
            (error_one, bits_one), (error_two, bits_two) = results
            yield FamilySensitivity(
                family=names[0],
                component=block.component,
                weights=sum(find_linear(job.model, name).weight.numel() for name in names),
                bits_one=bits_one,
                bits_two=bits_two,
                error_one=error_one,
                error_two=error_two,
            )
        streams.leave(block)


def allocate(job: BlockJob, plan: Sequence[Block], budget: float) -> Iterator[str]:
    """
    Measure every family alone and give those that gain most a second plane.

    :param job: probed; its ``options.overrides`` and ``sensitivity`` are set when the iterator
        ends
    :param plan: what :meth:`BlockJob.plan` returned
    :param budget: stored bits per weight
    :return: after each family, what was measured
    """
    rows: list[FamilySensitivity] = []
    for row in measure(job, plan):
        rows.append(row)
        yield f'{row.family}: action error {row.error_one:.2e}, two planes {row.error_two:.2e}'
    overrides = {family: second_plane(job.config) for family in choose_families(rows, budget)}
    job.options = replace(job.options, overrides=overrides)
    job.sensitivity = rows


def choose_families(rows: Sequence[FamilySensitivity], budget: float) -> list[str]:
    """
    Choose the families that get a second plane: those that gain most per bit, while it fits.

    :param rows: all families
    :param budget: stored bits per weight over all of them
    :return: names of families
    :raises ConfigError: if one plane everywhere takes more than the budget
    """
    weights, used = sum(row.weights for row in rows), sum(row.bits_one for row in rows)
    if used > budget * weights:
        raise ConfigError(
            f'one plane everywhere takes {used / weights:.3f} stored bits per weight here, more '
            f'than plane_budget {budget:g}; raise it or set planes: method'
        )
    chosen = []
    for row in sorted(rows, key=lambda row: (-row.gain_per_bit, row.family)):
        more = row.bits_two - row.bits_one
        if row.gain_per_bit > 0 and used + more <= budget * weights:
            chosen.append(row.family)
            used += more
    return chosen


def first_plane(config: Any) -> Any:
    """Return the method's configuration with one plane; see :func:`second_plane`."""
    return replace(second_plane(config), planes=1)


def second_plane(config: Any) -> Any:
    """
    Return the method's configuration with two planes on every column.

    :raises ConfigError: if the method has no such choice
    """
    if not isinstance(config, RecipeConfig):
        raise ConfigError(
            'planes: auto needs a method with a choice of planes, hbvla or hbvla_plus; got '
            f'{type(config).__name__}'
        )
    return replace(config, planes=2)


def _alone(
    job: BlockJob, names: Sequence[str], stats: FamilyStats, config: Any
) -> tuple[float, int]:
    """Return the action error with this family alone coded, and its stored bits."""
    linears = [find_linear(job.model, name) for name in names]
    originals = [linear.weight.clone() for linear in linears]
    quick = replace(config, sweeps=min(config.sweeps, _SWEEPS))
    codes = job.method.quantize([w.cpu().float() for w in originals], stats, quick)
    for linear, code in zip(linears, codes, strict=True):
        linear.weight.copy_(code.dequantize())
    changes = [
        (job.model(job.inputs[i]) - job.actions[i]).square().mean()
        for i in spread(len(job.inputs), _ASKED)
    ]
    for linear, original in zip(linears, originals, strict=True):
        linear.weight.copy_(original)
    on_grid = [code for code in codes if isinstance(code, BinaryWeight)]
    stored = sum(packed_bytes(code.out_features, code.layout) for code in on_grid)
    stored += permutation_bytes(on_grid[0].layout)
    return float(torch.stack(changes).mean()), 8 * stored
