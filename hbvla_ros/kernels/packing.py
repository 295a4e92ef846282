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
The bit layout of packed weights; the only file that knows it.

Rows are taken 16 at a time (the last block is padded with zero rows), columns are *virtual*:
padded and with the salient part twice, see ``binarize/layout.py``. All arrays are little-endian.

``bits``       int64 ``[rows/16, columns/4]``: bit ``4*j + i`` of word ``[b, q]`` is the sign of
               row ``16*b + j``, column ``4*q + i``; 1 picks ``hi`` (on disk: uint64)
``levels``     int8 ``[rows/16, groups, 2, 16]``: lo and hi of each row of the block
``row_scale``  float32 ``[segments, out_features]``
``permutation`` int64 ``[in_features]``, shared by a family (on disk: uint16), or None

The same layout, in words: ``doc/artifact_format.md``. A 64-byte tile of 16 rows x 4 columns is one
word, which is what AMX, VNNI and NEON unpack in one instruction.

A GPU reads another form of the same numbers, made once when weights arrive there
(:func:`striped`) and never stored; rows are neighbours in memory, so that threads are:

``bits``       int32 ``[columns/32, rows]``: bit ``8*i + s`` of word ``[w, n]`` is the sign of
               column ``32*w + 4*s + i``: one shift brings the four columns of ``s`` to the
               lowest bits of the four bytes
``levels``     int8 ``[groups, 2, rows]``
"""

from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

from hbvla_ros.binarize.layout import ColumnLayout, GROUP
from hbvla_ros.binarize.weight import BinaryWeight
import numpy as np
import torch

LAYOUT_VERSION = 1
ROWS = 16  # rows of a block
QUAD = 4  # columns of a word
STRIPE = 32  # columns of a word in the form for GPUs
STRIPE_BLOCKS = 16  # row blocks that change form at a time: 1 MB of signs per 4096 columns


@dataclass(frozen=True, eq=False)
class PackedWeight:
    """
    One packed linear; ``layout`` carries the permutation and the widths.

    ``allows_int8`` says that its activations may be rounded to int8.
    """

    layout: ColumnLayout
    out_features: int
    bits: torch.Tensor
    levels: torch.Tensor
    row_scale: torch.Tensor
    allows_int8: bool = False

    @property
    def is_striped(self) -> bool:
        """Tell whether the arrays have the form for GPUs."""
        return self.bits.dtype == torch.int32

    @property
    def stored_bytes(self) -> int:
        """Return the bytes of this linear on disk, the shared permutation not included."""
        return packed_bytes(self.out_features, self.layout)

    def to(self, device: torch.device | str) -> 'PackedWeight':
        """Return the same weight on another device."""
        return replace(
            self,
            layout=_moved(self.layout, torch.device(device)),
            bits=self.bits.to(device),
            levels=self.levels.to(device),
            row_scale=self.row_scale.to(device),
        )


def row_blocks(out_features: int) -> int:
    """Return the number of 16-row blocks."""
    return -(-out_features // ROWS)


def array_shapes(out_features: int, layout: ColumnLayout) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the three arrays of a packed linear."""
    blocks, columns = row_blocks(out_features), layout.virtual_width
    return {
        'bits': (blocks, columns // QUAD),
        'levels': (blocks, columns // GROUP, 2, ROWS),
        'row_scale': (layout.segments, out_features),
    }


def packed_bytes(out_features: int, layout: ColumnLayout) -> int:
    """
    Return the bytes of a packed linear without the permutation.

    Per row (padded to 16) and group of 128 virtual columns 16 bytes of signs and 2 of levels, plus
    4 bytes of scale per row and segment.
    """
    rows = row_blocks(out_features) * ROWS
    groups = layout.virtual_width // GROUP
    return rows * groups * (GROUP // 8 + 2) + 4 * out_features * layout.segments


def permutation_bytes(layout: ColumnLayout) -> int:
    """Return the bytes of the permutation that a family shares (uint16), 0 without one."""
    return 0 if layout.permutation is None else 2 * layout.in_features


def pack(weight: BinaryWeight) -> PackedWeight:
    """Pack a quantized linear; :func:`unpack` restores it exactly."""
    out = weight.out_features
    rows = row_blocks(out) * ROWS
    signs = _pad_rows(weight.signs, rows).cpu().numpy()
    tiles = signs.reshape(rows // ROWS, ROWS, -1, QUAD).transpose(0, 2, 1, 3)
    words = np.packbits(tiles.reshape(*tiles.shape[:2], ROWS * QUAD), axis=-1, bitorder='little')
    bits = torch.from_numpy(words.view('<i8')[..., 0].copy())
    levels = _pad_rows(weight.levels, rows).cpu().unflatten(0, (-1, ROWS)).permute(0, 2, 3, 1)
    return PackedWeight(
        _on_cpu(weight.layout),
        out,
        bits,
        levels.contiguous(),
        weight.row_scale.cpu().T.contiguous(),
    )


def unpack(packed: PackedWeight) -> BinaryWeight:
    """Restore the quantized linear."""
    return BinaryWeight(
        packed.layout,
        unpack_signs(packed, 0, row_blocks(packed.out_features))[: packed.out_features],
        unpack_levels(packed, 0, row_blocks(packed.out_features))[: packed.out_features],
        packed.row_scale.T.contiguous(),
    )


def unpack_signs(packed: PackedWeight, first: int, last: int) -> torch.Tensor:
    """
    Unpack the signs of row blocks ``first .. last - 1``.

    :return: ``bool [16 * (last - first), virtual_width]``
    """
    if packed.is_striped:
        return _striped_signs(packed.bits[:, _rows(first, last)])
    octets = packed.bits[first:last].contiguous().view(torch.uint8).unflatten(-1, (-1, 8))
    shifts = torch.arange(8, dtype=torch.uint8, device=octets.device)
    flat = (octets[..., None] >> shifts & 1).bool().flatten(-2)
    tiles = flat.unflatten(-1, (ROWS, QUAD))  # [block, quad, row, column]
    signs: torch.Tensor = tiles.permute(0, 2, 1, 3).flatten(2).flatten(0, 1)
    return signs


def unpack_levels(packed: PackedWeight, first: int, last: int) -> torch.Tensor:
    """
    Unpack the levels of row blocks ``first .. last - 1``.

    :return: ``int8 [16 * (last - first), groups, 2]``
    """
    if packed.is_striped:
        return packed.levels[..., _rows(first, last)].permute(2, 0, 1).contiguous()
    return packed.levels[first:last].permute(0, 3, 1, 2).flatten(0, 1).contiguous()


def striped(packed: PackedWeight) -> PackedWeight:
    """
    Bring packed weights into the form for GPUs, block by block, on the device where they are.

    :return: as many bytes; :func:`unpack` gives the same weight
    """
    if packed.is_striped:
        return packed
    blocks = row_blocks(packed.out_features)
    rows, columns = blocks * ROWS, packed.layout.virtual_width
    bits = packed.bits.new_empty(columns // STRIPE, rows, dtype=torch.int32)
    places = 1 << torch.arange(8, dtype=torch.uint8, device=bits.device)
    for first in range(0, blocks, STRIPE_BLOCKS):
        last = min(first + STRIPE_BLOCKS, blocks)
        signs = unpack_signs(packed, first, last).unflatten(-1, (-1, 8, QUAD)).mT
        octets = (signs * places).sum(-1, dtype=torch.uint8).flatten(1)
        bits[:, _rows(first, last)] = octets.view(torch.int32).T
    levels = packed.levels.permute(1, 2, 0, 3).flatten(2).contiguous()
    return replace(packed, bits=bits, levels=levels)


def _rows(first: int, last: int) -> slice:
    return slice(first * ROWS, last * ROWS)


def _striped_signs(words: torch.Tensor) -> torch.Tensor:
    octets = words.T.contiguous().view(torch.uint8)
    shifts = torch.arange(8, dtype=torch.uint8, device=words.device)
    bytewise = (octets[..., None] >> shifts & 1).bool().unflatten(1, (-1, QUAD))
    signs: torch.Tensor = bytewise.mT.flatten(1)
    return signs


def _pad_rows(tensor: torch.Tensor, rows: int) -> torch.Tensor:
    missing = rows - tensor.shape[0]
    return torch.cat([tensor, tensor.new_zeros(missing, *tensor.shape[1:])])


def _on_cpu(layout: ColumnLayout) -> ColumnLayout:
    return _moved(layout, torch.device('cpu'))


_MOVES: WeakKeyDictionary[ColumnLayout, dict[torch.device, ColumnLayout]] = WeakKeyDictionary()


def _moved(layout: ColumnLayout, device: torch.device) -> ColumnLayout:
    """Return the layout on a device; a family that shares one shares the moved one too."""
    if layout.permutation is None or layout.permutation.device == device:
        return layout
    known = _MOVES.setdefault(layout, {})
    if device not in known:
        known[device] = replace(layout, permutation=layout.permutation.to(device))
    return known[device]
