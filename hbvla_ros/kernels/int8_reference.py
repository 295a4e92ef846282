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
The product with int8 activations in plain torch, and the oracle of every int8 kernel, bit by bit.

Activations are scaled per token and 512 columns of a segment, so that the largest becomes 127, and
rounded to even. Integer sums of a chunk are exact; then, in float32 and in this order,
``part = fma(sum, activation scale, part)`` over the chunks of a segment and
``y = fma(part, row scale, y)`` over the segments. An activation that is not finite makes the
outputs of its token so.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from hbvla_ros.binarize.layout import ColumnLayout
from hbvla_ros.kernels.packing import PackedWeight, unpack
import torch

CHUNK = 512
LARGEST = 127.0
TINY = 1e-30  # a smaller maximum counts as zero: 127 / maximum would overflow


@dataclass(frozen=True)
class Chunk:
    """Virtual columns ``first .. last - 1`` of one segment, at most 512."""

    first: int
    last: int
    segment: int


def chunks(layout: ColumnLayout) -> Iterator[Chunk]:
    """Yield the stretches of columns that share an activation scale."""
    begin = 0
    for segment, width in enumerate(layout.segment_widths):
        for first in range(begin, begin + width, CHUNK):
            yield Chunk(first, min(first + CHUNK, begin + width), segment)
        begin += width


def quantize(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Round activations of one chunk.

    :param z: float32 ``[rows, columns]``
    :return: whole numbers in float32, ``[rows, columns]``, and scales ``[rows]``; a row that is
        not finite has zeros and a scale that is not a number
    """
    largest = z.abs().amax(dim=1)
    finite = torch.isfinite(z).all(dim=1)
    usable = finite & (largest >= TINY)
    # Tensors on both sides: with a number torch would multiply by a rounded reciprocal.
    top = torch.full_like(largest, LARGEST)
    inverse = torch.where(usable, top / largest, 0.0)
    numbers = torch.where(usable[:, None], (z * inverse[:, None]).round(), 0.0)
    scale = torch.where(usable, largest / top, torch.where(finite, 0.0, torch.nan))
    return numbers, scale


def linear(x: torch.Tensor, packed: PackedWeight) -> torch.Tensor:
    """
    Compute ``x W^T`` with int8 activations.

    :param x: float ``[..., in_features]``
    :param packed: the weights, on the device of ``x``
    :return: ``[..., out_features]`` in the dtype of ``x``
    """
    layout = packed.layout
    z = layout.to_virtual(layout.forward(x.float())).flatten(0, -2)
    weight = unpack(packed)
    levels = weight.levels.float()
    signs = weight.signs.unflatten(-1, (-1, 128))
    numbers = torch.where(signs, levels[..., 1:], levels[..., :1]).flatten(-2)
    result = torch.zeros(z.shape[0], packed.out_features, device=z.device)
    part = torch.zeros_like(result)
    every = list(chunks(layout))
    for chunk, after in zip(every, [*every[1:], None], strict=True):
        columns = slice(chunk.first, chunk.last)
        rounded, scale = quantize(z[:, columns])
        # at most 512 * 127 * 127 < 2^24: exact in float32, in any order
        part = fma(rounded @ numbers[:, columns].T, scale[:, None], part)
        if after is None or after.segment != chunk.segment:
            result = fma(part, packed.row_scale[chunk.segment], result)
            part = torch.zeros_like(part)
    shaped: torch.Tensor = result.to(x.dtype).unflatten(0, x.shape[:-1])
    return shaped


def fma(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """
    Return ``a * b + c`` of float32 rounded once, as processors do.

    The product is exact in float64; the sum is rounded to odd there, so that rounding it to
    float32 is as good as rounding once.
    """
    product, addend = a.double() * b.double(), c.double()
    total = product + addend
    back = total - product
    missing = (product - (total - back)) + (addend - back)
    bits = total.view(torch.int64)
    even = torch.isfinite(missing) & (missing != 0) & (bits & 1 == 0)
    step = torch.where((missing > 0) == (total > 0), 1, -1)
    return torch.where(even, bits + step, bits).view(torch.float64).float()
