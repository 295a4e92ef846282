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
Triton: the product with packed weights, unpacked in registers.

One kernel for exact activations (bfloat16, float16, float32; float32 accumulation) and for int8
ones (int32 accumulation over a chunk of 512 columns, then scaled). Weights come in the form for
GPUs of ``packing.py``. Where there are few rows, several programs share the columns of a tile and
leave partial sums, which :func:`finish_kernel` adds in a fixed order: no atomics, so the result
is the same every time. Import only where Triton is installed.
"""

import triton
import triton.language as tl


@triton.jit
def _repeated(level, kind: tl.constexpr):
    """Fill 32 bits with one level: four times as int8, or twice in a 16-bit float type."""
    if kind == tl.int8:
        filled = level.to(tl.uint8, bitcast=True).to(tl.uint32) * 0x01010101
    else:
        filled = level.to(kind).to(tl.uint16, bitcast=True).to(tl.uint32) * 0x00010001
    return filled


@triton.jit
def _weights(
    words, levels, start, n, stored, depth: tl.constexpr, wide: tl.constexpr, kind: tl.constexpr
):
    """
    Unpack ``depth`` columns from ``start`` on: ``[wide, depth]`` levels, in ``kind``.

    A shift brings the bits of four neighbouring columns to the lowest bits of the four bytes; a
    product spreads each over its byte or half word, which then picks the lower or higher level.
    """
    inside = n < stored
    stripe = start // 32 + tl.arange(0, depth // 32)
    word = tl.load(
        words + stripe[None, :] * stored + n[:, None], mask=inside[:, None], other=0
    ).to(tl.uint32, bitcast=True)
    four = word[:, :, None] >> tl.arange(0, 8).to(tl.uint32)[None, None, :]
    pair = levels + (start // 128) * 2 * stored + n
    low = _repeated(tl.load(pair, mask=inside, other=0), kind)
    differ = low ^ _repeated(tl.load(pair + stored, mask=inside, other=0), kind)
    low, differ = low[:, None, None], differ[:, None, None]
    if kind == tl.int8:
        both = low ^ (differ & ((four & 0x01010101) * 0xFF))
        even = tl.join(both.to(tl.uint8), (both >> 16).to(tl.uint8))
        odd = tl.join((both >> 8).to(tl.uint8), (both >> 24).to(tl.uint8))
    else:
        first = low ^ (differ & ((four & 0x00010001) * 0xFFFF))
        second = low ^ (differ & (((four >> 8) & 0x00010001) * 0xFFFF))
        even = tl.join(first.to(tl.uint16), (first >> 16).to(tl.uint16))
        odd = tl.join(second.to(tl.uint16), (second >> 16).to(tl.uint16))
    return tl.join(even, odd).reshape(wide, depth).to(kind, bitcast=True)


@triton.jit
def _scaled(
    sums, row_scale, scales, start, end, border, n, m, rows, outputs, integer: tl.constexpr
):
    """Turn sums over columns ``start .. end - 1`` of one chunk or segment into outputs."""
    second = (start >= border).to(tl.int32)
    result = sums.to(tl.float32)
    result *= tl.load(row_scale + second * outputs + n, mask=n < outputs, other=0.0)[:, None]
    if integer:
        chunk = tl.cdiv(border, 512) * second + (end - border * second - 1) // 512
        result *= tl.load(scales + chunk * rows + m, mask=m < rows, other=0.0)[None, :]
    return result


@triton.jit
def product_kernel(
    z, scales, words, levels, row_scale, out, rows, outputs, stored, width, border,
    block_rows: tl.constexpr, block_outputs: tl.constexpr, depth: tl.constexpr,
    split: tl.constexpr, integer: tl.constexpr, full: tl.constexpr,
):  # fmt: skip
    """
    Multiply ``z [rows, width]`` with the weights.

    ``stored`` is the number of rows of the packed arrays, ``border`` the width of the first
    segment. ``out`` is ``[rows, outputs]``, or with ``split`` > 1 float32
    ``[split, rows, outputs]``. The grid is (tiles of outputs, tiles of rows, split).

    Weights are the left factor, which tensor cores read from registers: there they are unpacked.
    """
    n = tl.program_id(0) * block_outputs + tl.arange(0, block_outputs)
    m = tl.program_id(1) * block_rows + tl.arange(0, block_rows)
    part = tl.program_id(2)
    steps = width // depth
    each = tl.cdiv(steps, split)
    last = tl.minimum((part + 1) * each, steps)
    total = tl.zeros([block_outputs, block_rows], tl.float32)
    sums = tl.zeros([block_outputs, block_rows], tl.int32 if integer else tl.float32)
    # float32 levels are unpacked as int8: eight times the registers of a word would be too many.
    kind: tl.constexpr = tl.int8 if full else z.dtype.element_ty
    rows_of_z = z + m[None, :] * width + tl.arange(0, depth)[:, None]
    for step in range(part * each, last):
        start = step * depth
        end = start + depth
        activations = tl.load(rows_of_z + start, mask=(m < rows)[None, :], other=0)
        weights = _weights(words, levels, start, n, stored, depth, block_outputs, kind)
        if integer:
            sums = tl.dot(weights, activations, sums, out_dtype=tl.int32)
        else:
            weights = weights.to(z.dtype.element_ty)
            sums = tl.dot(weights, activations, sums, input_precision='ieee')
        closes = (end == border) | (step + 1 == last)
        if integer:
            within = end - border * (start >= border).to(tl.int32)
            closes = closes | (within % 512 == 0)
        if closes:
            total += _scaled(
                sums, row_scale, scales, start, end, border, n, m, rows, outputs, integer
            )
            sums = tl.zeros_like(sums)
    target = out + (part * rows + m[None, :]) * outputs + n[:, None]
    inside = (m < rows)[None, :] & (n < outputs)[:, None]
    tl.store(target, total.to(out.dtype.element_ty), mask=inside)


@triton.jit
def finish_kernel(partial, out, count, split: tl.constexpr, block: tl.constexpr):
    """Add ``partial [split, count]`` in order to ``out [count]``."""
    place = tl.program_id(0) * block + tl.arange(0, block)
    mask = place < count
    total = tl.zeros([block], tl.float32)
    for part in tl.static_range(split):
        total += tl.load(partial + part * count + place, mask=mask, other=0.0)
    tl.store(out + place, total.to(out.dtype.element_ty), mask=mask)
