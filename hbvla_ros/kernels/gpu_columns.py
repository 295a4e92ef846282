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
What a prologue on a GPU reads: where each virtual column comes from, and where chunks end.

Every transform of the table but ``haar3`` and ``haar6`` is one butterfly of two input columns,
``near * x[first] + far * x[second]``, that a Hadamard spreads on by a second one over the 128
columns of its group. So the tables below say all that a kernel needs to know of a layout.
"""

from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

from hbvla_ros.binarize.layout import ColumnLayout, GROUP
from hbvla_ros.kernels.int8_reference import chunks
import torch

_DIRECT = ('none', 'haar', 'hadamard')
_HALF_ROOT = 0.5**0.5


@dataclass(frozen=True, eq=False)
class Columns:
    """
    The tables of one family.

    ``first`` and ``second`` are ``int32 [virtual_width]``, columns of x or -1; ``near`` and
    ``far`` ``float32 [virtual_width]``; ``spread`` ``int8 [virtual_width]``, 1 where the 128
    columns of the group are spread by a Hadamard; ``chunks`` ``int32 [C, 2]``, first and last + 1
    column. ``turned`` tells that the layout is applied before, since no table expresses it.
    """

    first: torch.Tensor
    second: torch.Tensor
    near: torch.Tensor
    far: torch.Tensor
    spread: torch.Tensor
    chunks: torch.Tensor
    has_spread: bool
    turned: bool

    def to(self, device: torch.device) -> 'Columns':
        """Return the tables on another device."""
        names = ('first', 'second', 'near', 'far', 'spread', 'chunks')
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


_CACHE: WeakKeyDictionary[ColumnLayout, dict[torch.device, Columns]] = WeakKeyDictionary()


def columns_of(layout: ColumnLayout, device: torch.device) -> Columns:
    """
    Return the tables of a layout; made once per layout object.

    :param layout: of a family
    :param device: where the kernel runs
    """
    known = _CACHE.setdefault(layout, {})
    if device not in known:
        known[device] = make_columns(layout).to(device)
    return known[device]


def make_columns(layout: ColumnLayout) -> Columns:
    """Make the tables of a layout, on the CPU."""
    bounds = [(chunk.first, chunk.last) for chunk in chunks(layout)]
    used = {layout.transform} if layout.plain_width else set()
    used |= {layout.salient_transform} if layout.num_salient else set()
    if used.issubset(_DIRECT):
        parts = _gathered_parts(layout)
    else:
        parts = [_butterfly(torch.arange(layout.width), 'none')]
    whole = [torch.cat(each) for each in zip(*parts, strict=True)]
    first, second, near, far, spread = (layout.to_virtual(table) for table in whole)
    return Columns(
        first=first,
        second=second,
        near=near,
        far=far,
        spread=spread,
        chunks=torch.tensor(bounds, dtype=torch.int32),
        has_spread=bool(spread.any()),
        turned=not used.issubset(_DIRECT),
    )


def _gathered_parts(layout: ColumnLayout) -> list[tuple[torch.Tensor, ...]]:
    sources = layout.sources().cpu()
    parts = []
    for block, _ in layout.transform_blocks():
        plain = block.start < layout.plain_width
        name = layout.transform if plain else layout.salient_transform
        parts.append(_butterfly(sources[block], name))
    return parts


def _butterfly(source: torch.Tensor, name: str) -> tuple[torch.Tensor, ...]:
    """Return first, second, near, far and spread of one transform block (128 or 256 columns)."""
    length = len(source)
    half = length // 2
    if name == 'haar':
        first, second = source[0::2].repeat(2), source[1::2].repeat(2)
        near, far = _HALF_ROOT, torch.tensor([_HALF_ROOT, -_HALF_ROOT]).repeat_interleave(half)
    elif name == 'hadamard' and length > GROUP:
        first, second = source[:half].repeat(2), source[half:].repeat(2)
        near = length**-0.5
        far = torch.tensor([near, -near]).repeat_interleave(half)
    else:
        first, second = source, torch.full_like(source, -1)
        near, far = length**-0.5 if name == 'hadamard' else 1.0, torch.zeros(length)
    spread = torch.full((length,), int(name == 'hadamard'), dtype=torch.int8)
    whole = torch.full((length,), near)
    return first.to(torch.int32), second.to(torch.int32), whole, far, spread
