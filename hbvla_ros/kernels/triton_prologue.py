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
Triton: activations to what the product reads.

Gather, butterfly, optional Hadamard over groups of 128, largest magnitude per token and chunk of
512 columns, int8; or the same in floating point without the last two. Tables:
``gpu_columns.py``. Import only where Triton is installed.
"""

import triton
import triton.language as tl


@triton.jit
def _hadamard_128(x, tokens: tl.constexpr):
    """Spread the 128 columns of ``[tokens, 128]``; each step turns the index by one bit."""
    for _ in tl.static_range(7):
        even, odd = tl.split(x.reshape(tokens, 64, 2))
        x = tl.join(even + odd, even - odd).permute(0, 2, 1).reshape(tokens, 128)
    return x


@triton.jit
def _inverse_norm(x, row, inside, in_features, eps, tokens: tl.constexpr):
    """Return the factor of RMSNorm of each row, ``[tokens]``."""
    total = tl.zeros([tokens], tl.float32)
    for start in range(0, in_features, 1024):
        column = start + tl.arange(0, 1024)
        mask = inside[:, None] & (column < in_features)[None, :]
        piece = tl.load(x + row[:, None] + column[None, :], mask=mask, other=0.0)
        piece = piece.to(tl.float32)
        total += tl.sum(piece * piece, axis=1)
    return 1.0 / tl.sqrt(total / in_features + eps)


@triton.jit
def _quantized(value):
    """
    Round ``[tokens, columns]`` to int8, as ``int8_reference.quantize`` does.

    A row that is not finite becomes zeros with a scale that is not a number; one smaller than
    1e-30 zeros, since 127 / largest might overflow.
    """
    largest = tl.max(tl.abs(value), axis=1)
    finite = tl.sum(value * 0.0, axis=1) == 0.0
    usable = finite & (largest >= 1e-30)
    inverse = 127.0 / tl.where(usable, largest, 1.0)
    scaled = tl.where(usable[:, None], value * inverse[:, None], 0.0)
    # Adding and taking away 1.5 * 2^23 rounds to the nearest whole number, ties to even.
    rounded = ((scaled + 12582912.0) - 12582912.0).to(tl.int8)
    return rounded, tl.where(usable, largest / 127.0, tl.where(finite, 0.0, float('nan')))


@triton.jit
def prologue_kernel(
    x, norm, first, second, near, far, spread, chunks, z, scales, rows, in_features, row_stride,
    width, eps, tokens: tl.constexpr, chunk: tl.constexpr, has_norm: tl.constexpr,
    has_spread: tl.constexpr, integer: tl.constexpr,
):  # fmt: skip
    """
    Write ``z [rows, width]`` and, for int8, ``scales [chunks, rows]``.

    The grid is (blocks of ``tokens`` rows, chunks).
    """
    number = tl.program_id(1)
    start = tl.load(chunks + 2 * number)
    stop = tl.load(chunks + 2 * number + 1)
    token = tl.program_id(0) * tokens + tl.arange(0, tokens)
    inside = token < rows
    row = token * row_stride
    place = start + tl.arange(0, chunk)
    held = place < stop
    one = tl.load(first + place, mask=held, other=-1)
    two = tl.load(second + place, mask=held, other=-1)
    a = tl.load(
        x + row[:, None] + one[None, :], mask=inside[:, None] & (one >= 0)[None, :], other=0.0
    ).to(tl.float32)
    b = tl.load(
        x + row[:, None] + two[None, :], mask=inside[:, None] & (two >= 0)[None, :], other=0.0
    ).to(tl.float32)
    if has_norm:
        factor = _inverse_norm(x, row, inside, in_features, eps, tokens)[:, None]
        a *= factor * tl.load(norm + one, mask=one >= 0, other=0.0).to(tl.float32)[None, :]
        b *= factor * tl.load(norm + two, mask=two >= 0, other=0.0).to(tl.float32)[None, :]
    value = a * tl.load(near + place, mask=held, other=0.0)[None, :]
    value += b * tl.load(far + place, mask=held, other=0.0)[None, :]
    if has_spread:
        groups: tl.constexpr = tokens * chunk // 128
        mixed = _hadamard_128(value.reshape(groups, 128), groups).reshape(tokens, chunk)
        value = tl.where(tl.load(spread + place, mask=held, other=0)[None, :] != 0, mixed, value)
    target = z + token[:, None] * width + place[None, :]
    mask = inside[:, None] & held[None, :]
    if integer:
        rounded, scale = _quantized(value)
        tl.store(target, rounded, mask=mask)
        tl.store(scales + number * rows + token, scale, mask=inside)
    else:
        tl.store(target, value.to(z.dtype.element_ty), mask=mask)
