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
The activations on their way through the blocks: quantized, and full-precision beside them.

Each stream holds, for every sample, the arguments of the next block. The quantized one is captured
from the model as it stands; the full-precision one is captured before anything is quantized and
then carried through untouched copies of the blocks, one block in memory at a time.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from hbvla_ros.calib.capture import arguments_of, watch_inputs
from hbvla_ros.calib.hessian import HessianAccumulator
from hbvla_ros.models.base import Block, VlaModel
from hbvla_ros.models.surgery import find_linear
import torch
from torch import nn

Call = tuple[tuple[Any, ...], dict[str, Any]]


class Streams:
    """Both streams of a job; :meth:`enter` a block, :meth:`collect`, quantize, :meth:`leave`."""

    def __init__(
        self, model: VlaModel, inputs: Sequence[Any], plan: Sequence[Block], *, two: bool
    ) -> None:
        """
        Capture where the full-precision chains start, if there are two streams.

        :param model: still in full precision
        :param inputs: prepared model inputs, one per sample
        :param plan: blocks in the order in which they will be entered
        :param two: run the full-precision stream too
        """
        self._model, self._inputs = model, inputs
        self._starts = set(_starts(model, plan))
        self._entries = {name: self._capture(name) for name in self._starts} if two else {}
        self._two = two
        self._quantized: list[Call] = []
        self._reference: list[Call] = []
        self._original: nn.Module | None = None

    def enter(self, block: Block) -> None:
        """Bring both streams to the input of a block."""
        if block.name in self._starts:
            self._quantized = self._capture(block.name)
            self._reference = self._entries.pop(block.name, [])
        module = self._model.get_submodule(block.name)
        self._original = deepcopy(module) if self._two else None

    def collect(
        self,
        block: Block,
        families: Sequence[Sequence[str]],
        importance: Sequence[torch.Tensor],
    ) -> dict[str, HessianAccumulator]:
        """
        Run the block as it stands and sum up the moments of the input of some of its families.

        :param block: the one entered
        :param families: of the block
        :param importance: S_t per sample
        :return: by the first linear of each family
        """
        module = self._model.get_submodule(block.name)
        firsts = {names[0]: find_linear(self._model, names[0]) for names in families}
        stats = {
            name: HessianAccumulator(linear.in_features, shifted=self._two)
            for name, linear in firsts.items()
        }
        for number, score in enumerate(importance):
            reference = self._reference_inputs(block, list(firsts), number)
            args, kwargs = self._quantized[number]

            def see(
                name: str,
                x: torch.Tensor,
                score: torch.Tensor = score,
                reference: dict[str, torch.Tensor] = reference,
            ) -> None:
                stats[name].update(x, score, reference.get(name))

            with watch_inputs(firsts, see):
                module(*args, **kwargs)
        return stats

    def leave(self, block: Block) -> None:
        """Carry both streams through the block, which is quantized by now."""
        module = self._model.get_submodule(block.name)
        self._quantized = [_advance(module, call) for call in self._quantized]
        if self._original is not None:
            self._reference = [_advance(self._original, call) for call in self._reference]

    def _capture(self, name: str) -> list[Call]:
        module = self._model.get_submodule(name)
        return [
            arguments_of(module, lambda inputs=inputs: self._model(inputs))  # type: ignore[misc]
            for inputs in self._inputs
        ]

    def _reference_inputs(
        self, block: Block, firsts: Sequence[str], number: int
    ) -> dict[str, torch.Tensor]:
        if self._original is None:
            return {}
        seen: dict[str, torch.Tensor] = {}
        linears = {
            name: self._original.get_submodule(name.removeprefix(f'{block.name}.'))
            for name in firsts
        }
        args, kwargs = self._reference[number]
        with watch_inputs(linears, seen.__setitem__):
            self._original(*args, **kwargs)
        return seen


def _starts(model: VlaModel, plan: Sequence[Block]) -> list[str]:
    """Name the blocks that do not directly follow the planned one before them."""
    order = [(block.chain, block.name) for block in model.blocks()]
    places = [order.index((block.chain, block.name)) for block in plan]
    return [
        block.name
        for index, block in enumerate(plan)
        if index == 0
        or block.chain != plan[index - 1].chain
        or places[index] != places[index - 1] + 1
    ]


def _advance(module: nn.Module, call: Call) -> Call:
    args, kwargs = call
    output = module(*args, **kwargs)
    first = output[0] if isinstance(output, tuple) else output
    return (first, *args[1:]), kwargs
