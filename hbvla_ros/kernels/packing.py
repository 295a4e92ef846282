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
"""

from dataclasses import dataclass, replace

from hbvla_ros.binarize.layout import ColumnLayout, GROUP
from hbvla_ros.binarize.weight import BinaryWeight
import numpy as np
import torch

LAYOUT_VERSION = 1
ROWS = 16  # rows of a block
QUAD = 4  # columns of a word


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
    def stored_bytes(self) -> int:
        """Return the bytes of this linear on disk, the shared permutation not included."""
        return packed_bytes(self.out_features, self.layout)

    def to(self, device: torch.device | str) -> 'PackedWeight':
        """Return the same weight on another device."""
        permutation = self.layout.permutation
        moved = None if permutation is None else permutation.to(device)
        return replace(
            self,
            layout=replace(self.layout, permutation=moved),
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
    return packed.levels[first:last].permute(0, 3, 1, 2).flatten(0, 1).contiguous()


def _pad_rows(tensor: torch.Tensor, rows: int) -> torch.Tensor:
    missing = rows - tensor.shape[0]
    return torch.cat([tensor, tensor.new_zeros(missing, *tensor.shape[1:])])


def _on_cpu(layout: ColumnLayout) -> ColumnLayout:
    permutation = layout.permutation
    return layout if permutation is None else replace(layout, permutation=permutation.cpu())
