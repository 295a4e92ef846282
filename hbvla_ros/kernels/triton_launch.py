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
Run the Triton kernels on torch tensors: choose tiles, allocate, launch.

Import only where Triton is installed; ``gpu.py`` tells.
"""

from functools import lru_cache

from hbvla_ros.binarize.layout import ColumnLayout
from hbvla_ros.kernels.gpu_columns import columns_of
from hbvla_ros.kernels.gpu_tiles import choose_split, choose_tile, FULL, HALF, INT8, Tile
from hbvla_ros.kernels.int8_reference import CHUNK
from hbvla_ros.kernels.packing import PackedWeight
from hbvla_ros.kernels.triton_product import finish_kernel, product_kernel
from hbvla_ros.kernels.triton_prologue import prologue_kernel
import torch
import triton

_FINISH = 1024  # outputs that one program adds up
_INTERPRETED = (80, 1)  # architecture and processors that stand for none


def kind_of(dtype: torch.dtype, *, integer: bool) -> str:
    """Return the kind of arithmetic: int8, or by the dtype of the activations."""
    if integer:
        return INT8
    return FULL if dtype == torch.float32 else HALF


def prologue(
    x: torch.Tensor,
    layout: ColumnLayout,
    *,
    integer: bool,
    norm: tuple[torch.Tensor, float] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Bring activations into the coordinates of the weights.

    All linears of a family may share the result.

    :param x: ``[rows, in_features]``, float32, bfloat16 or float16; rows may be strided
    :param layout: of the family
    :param integer: quantize to int8
    :param norm: weight ``[in_features]`` and epsilon of an RMSNorm that comes before
    :return: z ``[rows, virtual_width]``, int8 or in the dtype of x, and ``float32 [chunks, rows]``
        scales, meaningful for int8 only
    """
    columns = columns_of(layout, x.device)
    if columns.turned:
        x, norm = _turned(x, layout, norm), None
    if x.stride(-1) != 1:
        x = x.contiguous()
    rows, chunks = len(x), len(columns.chunks)
    z = torch.empty(
        rows, layout.virtual_width, device=x.device, dtype=torch.int8 if integer else x.dtype
    )
    scales = torch.empty(chunks, rows, device=x.device) if integer else z
    tokens = 1 if rows < 64 else 4
    prologue_kernel[triton.cdiv(rows, tokens), chunks](
        x, x if norm is None else norm[0], columns.first, columns.second, columns.near,
        columns.far, columns.spread, columns.chunks, z, scales, rows, x.shape[1], x.stride(0),
        layout.virtual_width, 0.0 if norm is None else norm[1], tokens=tokens, chunk=CHUNK,
        has_norm=norm is not None, has_spread=columns.has_spread, integer=integer,
    )  # fmt: skip
    return z, scales


def product(
    z: torch.Tensor, scales: torch.Tensor, packed: PackedWeight, dtype: torch.dtype
) -> torch.Tensor:
    """
    Multiply what :func:`prologue` returned.

    :param packed: in the form for GPUs, on the same device
    :param dtype: of the result
    :return: ``[rows, out_features]``
    """
    rows, outputs = len(z), packed.out_features
    kind = kind_of(z.dtype, integer=z.dtype == torch.int8)
    capability, processors = _device(z.device)
    tile = choose_tile(capability, kind, rows)
    grid = triton.cdiv(outputs, tile.outputs), triton.cdiv(rows, tile.rows)
    split = choose_split(grid[0] * grid[1], processors, z.shape[1] // tile.depth)
    out = torch.empty(rows, outputs, device=z.device, dtype=dtype)
    partial = out if split == 1 else torch.empty(split, rows, outputs, device=z.device)
    product_kernel[(*grid, split)](
        z, scales, packed.bits, packed.levels, packed.row_scale, partial, rows, outputs,
        packed.levels.shape[-1], z.shape[1], packed.layout.segment_widths[0],
        **meta(tile, split, kind),
    )  # fmt: skip
    if split > 1:
        count = rows * outputs
        finish_kernel[(triton.cdiv(count, _FINISH),)](
            partial, out, count, split=split, block=_FINISH
        )
    return out


def meta(tile: Tile, split: int, kind: str) -> dict[str, int]:
    """Return the compile-time arguments of the product for a tile."""
    return {
        'block_rows': tile.rows,
        'block_outputs': tile.outputs,
        'depth': tile.depth,
        'split': split,
        'integer': kind == INT8,
        'full': kind == FULL,
        'num_warps': tile.warps,
        'num_stages': tile.stages,
    }


def _turned(
    x: torch.Tensor, layout: ColumnLayout, norm: tuple[torch.Tensor, float] | None
) -> torch.Tensor:
    if norm is not None:
        x = torch.nn.functional.rms_norm(x.float(), x.shape[-1:], norm[0].float(), norm[1])
    return layout.forward(x)


@lru_cache
def _device(device: torch.device) -> tuple[int, int]:
    """Return compute capability times ten and the number of processors."""
    if device.type != 'cuda':
        return _INTERPRETED
    found = torch.cuda.get_device_properties(device)
    return 10 * found.major + found.minor, found.multi_processor_count
