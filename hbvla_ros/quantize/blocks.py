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

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from hbvla_ros.binarize.method import FamilyStats, output_error, QuantizedWeight
from hbvla_ros.binarize.target import corrected_target
from hbvla_ros.binarize.weight import BinaryWeight
from hbvla_ros.calib.hessian import HessianAccumulator
from hbvla_ros.models.base import Block
from hbvla_ros.models.surgery import find_linear
from hbvla_ros.quantize.job import CORRECTED, NONE
from hbvla_ros.quantize.state import BlockJob, QuantizedLayer
from hbvla_ros.quantize.streams import Streams
from hbvla_ros.quantize.tuning import tune_block, TuneProblem
import torch


class BlockMemory:
    """Remembers finished blocks; this one forgets them, ``quantize/resume.py`` does not."""

    def restore(self, job: BlockJob, block: Block) -> bool:
        """Put a finished block's result into the job and its model; False if it isn't known."""
        del job, block
        return False

    def store(self, job: BlockJob, block: Block) -> None:
        """Remember a block that has just been finished."""
        del job, block


@torch.no_grad()
def quantize_blocks(
    job: BlockJob, plan: Sequence[Block], memory: BlockMemory | None = None
) -> Iterator[tuple[Block, float]]:
    """
    Quantize the planned blocks in order; the model's weights are replaced by dequantized ones.

    :param job: probed; ``layers`` is filled in
    :param plan: what :meth:`BlockJob.plan` returned
    :param memory: blocks that it knows are taken from it
    :return: after each block, the block and its mean output error
    """
    memory = memory or BlockMemory()
    options = job.options
    streams = Streams(job.model, job.inputs, plan, job.activations, two=options.two_streams)
    for block in plan:
        streams.enter(block)
        if not memory.restore(job, block):
            _quantize_block(job, block, streams)
            memory.store(job, block)
        streams.leave(block)
        errors = [job.layers[name].output_error for names in block.families for name in names]
        yield block, sum(errors) / len(errors)


def _quantize_block(job: BlockJob, block: Block, streams: Streams) -> None:
    importance = job.importance[block.name]
    for families in _together(job, block):
        stats = streams.collect(block, families, importance, job.options.dtype)
        for names in families:
            quantize_family(job, block, names, stats.pop(names[0]))
    if job.options.tune != NONE:
        streams.leave_reference()
        _tune(job, block, streams)


def _together(job: BlockJob, block: Block) -> Sequence[Sequence[Sequence[str]]]:
    """
    Group the families whose inputs are collected in one run of the block.

    With a plain target all of them, with the block's original weights. A corrected target must see
    what the families before it in the block have already put right, or it would do so again.
    """
    corrected = job.options.target == CORRECTED
    return [[names] for names in block.families] if corrected else [block.families]


def quantize_family(
    job: BlockJob, block: Block, names: Sequence[str], moments: HessianAccumulator
) -> None:
    """
    Quantize the linears of one family in place.

    :param job: ``layers`` gets their entries
    :param block: the block that they are in
    :param names: of the linears
    :param moments: of their common input
    """
    started = job.clock()
    options = job.options
    config = options.overrides.get(names[0], job.config)
    linears = [find_linear(job.model, name) for name in names]
    weights = [linear.weight.detach().to('cpu', torch.float32, copy=True) for linear in linears]
    stats = FamilyStats(
        moments.plain(), moments.corrected(), moments.plain_shift(), moments.corrected_shift()
    )
    if options.target == CORRECTED:
        weights = corrected_target(
            weights, stats, getattr(config, 'corrected', 0.0), options.target_factor
        )
    coded = job.method.quantize(weights, stats, config)
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


def _tune(job: BlockJob, block: Block, streams: Streams) -> None:
    started = job.clock()
    module = job.model.get_submodule(block.name)
    names = [name for family in block.families for name in family]
    codes = {name.removeprefix(f'{block.name}.'): job.layers[name].weight for name in names}
    problem = TuneProblem(
        streams.quantized, lambda i: streams.reference[i][0][0], job.importance[block.name]
    )
    generator = torch.Generator().manual_seed(job.options.seed)
    tuned, *errors = tune_block(module, _on_grid(codes), problem, job.options.tuning, generator)
    job.tuned[block.name] = errors[0], errors[1]
    share = (job.clock() - started) / len(names)
    for name in names:
        layer = job.layers[name]
        code = tuned[name.removeprefix(f'{block.name}.')]
        job.layers[name] = replace(layer, weight=code, seconds=layer.seconds + share)


def _on_grid(codes: Mapping[str, QuantizedWeight]) -> dict[str, BinaryWeight]:
    return {name: code for name, code in codes.items() if isinstance(code, BinaryWeight)}
