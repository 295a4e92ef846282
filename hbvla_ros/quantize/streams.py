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
from functools import partial
from typing import Any

from hbvla_ros.calib.capture import arguments_of, run_until_seen
from hbvla_ros.calib.hessian import HessianAccumulator
from hbvla_ros.models.base import Block, VlaModel
from hbvla_ros.models.surgery import find_linear
from hbvla_ros.quantize.activations import Activations, KeptTensor
import torch
from torch import nn

Call = tuple[tuple[Any, ...], dict[str, Any]]


class Calls:
    """The arguments of the next block, one call per sample; the first one is the activation."""

    def __init__(self, activations: Activations) -> None:
        """Start empty; the first arguments are kept in ``activations``."""
        self._activations = activations
        self._first: list[KeptTensor] = []
        self._rest: list[Call] = []

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._first)

    def __getitem__(self, number: int) -> Call:
        """Return the arguments of one sample."""
        args, kwargs = self._rest[number]
        return (self._first[number].get(), *args), kwargs

    def append(self, call: Call) -> None:
        """Add a sample."""
        (first, *args), kwargs = call
        self._first.append(self._activations.keep(first))
        self._rest.append((tuple(args), kwargs))

    def advance(self, module: nn.Module) -> None:
        """Put every sample through a block."""
        for number in range(len(self)):
            args, kwargs = self[number]
            output = first_output(module(*args, **kwargs))
            self._first[number].drop()
            self._first[number] = self._activations.keep(output)

    def drop(self) -> None:
        """Forget everything."""
        for kept in self._first:
            kept.drop()
        self._first, self._rest = [], []


def first_output(output: Any) -> torch.Tensor:
    """Return the activation that a block passes on: its output or the first element of it."""
    result: torch.Tensor = output[0] if isinstance(output, tuple) else output
    return result


class Streams:
    """Both streams of a job; :meth:`enter` a block, :meth:`collect`, quantize, :meth:`leave`."""

    def __init__(
        self,
        model: VlaModel,
        inputs: Sequence[Any],
        plan: Sequence[Block],
        activations: Activations,
        *,
        two: bool,
    ) -> None:
        """
        Capture where the full-precision chains start, if there are two streams.

        :param model: still in full precision
        :param inputs: prepared model inputs, one per sample
        :param plan: blocks in the order in which they will be entered
        :param activations: keeps what flows
        :param two: run the full-precision stream too
        """
        self._model, self._inputs, self._activations = model, inputs, activations
        self._starts = set(_starts(model, plan))
        self._entries = {name: self._capture(name) for name in self._starts} if two else {}
        self._two = two
        self.quantized = Calls(activations)
        self.reference = Calls(activations)
        self._original: nn.Module | None = None

    def enter(self, block: Block) -> None:
        """Bring both streams to the input of a block."""
        if block.name in self._starts:
            self.quantized.drop()
            self.reference.drop()
            self.quantized = self._capture(block.name)
            self.reference = self._entries.pop(block.name, Calls(self._activations))
        module = self._model.get_submodule(block.name)
        self._original = deepcopy(module) if self._two else None

    def collect(
        self,
        block: Block,
        families: Sequence[Sequence[str]],
        importance: Sequence[torch.Tensor],
        dtype: torch.dtype = torch.float32,
    ) -> dict[str, HessianAccumulator]:
        """
        Run the block as it stands and sum up the moments of the input of some of its families.

        :param block: the one entered
        :param families: of the block
        :param importance: S_t per sample
        :param dtype: of the sums
        :return: by the first linear of each family
        """
        module = self._model.get_submodule(block.name)
        firsts = {names[0]: find_linear(self._model, names[0]) for names in families}
        stats = {
            name: HessianAccumulator(linear.in_features, dtype, shifted=self._two)
            for name, linear in firsts.items()
        }
        for number, score in enumerate(importance):
            reference = self._reference_inputs(block, list(firsts), number)
            args, kwargs = self.quantized[number]

            def see(
                name: str,
                x: torch.Tensor,
                score: torch.Tensor = score,
                reference: dict[str, torch.Tensor] = reference,
            ) -> None:
                stats[name].update(x, score, reference.get(name))

            run_until_seen(firsts, see, partial(module, *args, **kwargs))
        return stats

    def leave_reference(self) -> None:
        """Carry the full-precision stream through the block; it then holds the block's outputs."""
        if self._original is not None:
            self.reference.advance(self._original)
            self._original = None

    def leave(self, block: Block) -> None:
        """Carry both streams through the block, which is quantized by now."""
        self.leave_reference()
        self.quantized.advance(self._model.get_submodule(block.name))

    def _capture(self, name: str) -> Calls:
        module = self._model.get_submodule(name)
        calls = Calls(self._activations)
        for inputs in self._inputs:
            calls.append(arguments_of(module, partial(self._model, inputs)))
        return calls

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
        args, kwargs = self.reference[number]
        run_until_seen(linears, seen.__setitem__, partial(self._original, *args, **kwargs))
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
