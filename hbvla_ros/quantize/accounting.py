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
True bits of quantized layers: as papers count, as stored, and at the widths of OpenVLA-OFT.

Row scales and padding weigh more in a narrow network; the third number counts the same
configuration at the widths for which it is meant.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from hbvla_ros.binarize.dense_weight import DenseWeight
from hbvla_ros.binarize.layout import ColumnLayout
from hbvla_ros.binarize.weight import BinaryWeight
from hbvla_ros.kernels.packing import packed_bytes, permutation_bytes
from hbvla_ros.quantize.state import QuantizedLayer
import torch


class Family(NamedTuple):
    """Linears ``(out_features, ...)`` that share ``in_features`` inputs, ``repeats`` times."""

    out_features: tuple[int, ...]
    in_features: int
    repeats: int = 1


# Llama-2-7B, DINOv2-L and SigLIP-So400m without their unused last blocks, and the projector.
OFT_FAMILIES = (
    Family((4096, 4096, 4096), 4096, 32),
    Family((4096,), 4096, 32),
    Family((11008, 11008), 4096, 32),
    Family((4096,), 11008, 32),
    Family((3072,), 1024, 23),
    Family((1024,), 1024, 23),
    Family((4096,), 1024, 23),
    Family((1024,), 4096, 23),
    Family((3456,), 1152, 26),
    Family((1152,), 1152, 26),
    Family((4304,), 1152, 26),
    Family((1152,), 4304, 26),
    Family((8704,), 2176),
    Family((4096,), 8704),
    Family((4096,), 4096),
)
_ALL = -1  # every column has two planes


@dataclass(frozen=True)
class Bits:
    """Bits per quantized weight: signs alone, every byte, every byte at OpenVLA-OFT's widths."""

    sign: float
    stored: float
    stored_at_oft: float


def count_bits(layers: Mapping[str, QuantizedLayer]) -> Bits:
    """
    Count the bits of a job's layers.

    :param layers: all quantized layers, by name
    :return: means over all weights
    """
    weights = sign = stored = at_oft = 0.0
    for members in _families(layers):
        codes = [layer.weight for layer in members]
        stored += family_bits(codes)
        for code in codes:
            size = code.out_features * code.in_features
            weights += size
            sign += size * code.bits_sign
            at_oft += size * _bits_at_oft(code)
    return Bits(sign / weights, stored / weights, at_oft / weights)


def family_bits(codes: Sequence[object]) -> int:
    """Return all bits that the linears of one family take together."""
    total = sum(_own_bits(code) for code in codes)
    first = codes[0]
    return total + (8 * permutation_bytes(first.layout) if isinstance(first, BinaryWeight) else 0)


def _own_bits(code: object) -> int:
    if isinstance(code, BinaryWeight):
        return 8 * packed_bytes(code.out_features, code.layout)
    assert isinstance(code, DenseWeight)
    return code.stored_bits


def _families(layers: Mapping[str, QuantizedLayer]) -> Iterator[list[QuantizedLayer]]:
    members: dict[str, list[QuantizedLayer]] = {}
    for layer in layers.values():
        members.setdefault(layer.family, []).append(layer)
    yield from members.values()


def _bits_at_oft(code: object) -> float:
    if isinstance(code, DenseWeight):
        return _dense_bits_at_oft(code)
    assert isinstance(code, BinaryWeight)
    layout = code.layout
    salient = _ALL if layout.num_salient == layout.in_features else layout.num_salient
    return level_bits_at_oft(salient, permuted=layout.permutation is not None)


@cache
def level_bits_at_oft(num_salient: int, *, permuted: bool) -> float:
    """
    Return the stored bits per weight of the level format at OpenVLA-OFT's widths.

    :param num_salient: columns with two planes, -1 for all of them
    :param permuted: a permutation is stored
    """
    bits = weights = 0
    for family in OFT_FAMILIES:
        n = family.in_features
        layout = ColumnLayout(
            n,
            n if num_salient == _ALL else min(num_salient, n),
            permutation=torch.arange(n) if permuted else None,
        )
        own = sum(packed_bytes(out, layout) for out in family.out_features)
        bits += 8 * family.repeats * (own + permutation_bytes(layout))
        weights += family.repeats * n * sum(family.out_features)
    return bits / weights


def _dense_bits_at_oft(code: DenseWeight) -> float:
    """
    Scale the parts of a block code: all of them but the mask of salient columns grow with rows.

    The parameters of a ragged last block are spread over as many columns as a full one has.
    """
    blocks = -(-code.in_features // 128)
    share = code.in_features / (128 * blocks)  # ragged blocks carry whole parameters
    total = 0.0
    for name, bits in code.bits.items():
        per_weight = bits / (code.out_features * code.in_features)
        if name == 'salient_mask':
            per_weight = 1 / 4096
        elif name == 'parameters':
            per_weight *= share
        total += per_weight
    return total
