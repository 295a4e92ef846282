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
Products on the processor, by instruction set.

Exact kernels keep float32 activations exact (``amx_bf16`` splits them into three bfloat16 parts)
and round bfloat16 ones once, after the transform. The int8 kernels round activations to int8 with
a scale per token and 512 columns; they agree with each other bit for bit.
"""

import ctypes
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from hbvla_ros.binarize.layout import ColumnLayout
from hbvla_ros.core.errors import ConfigError
from hbvla_ros.kernels import native
from hbvla_ros.kernels.packing import PackedWeight, row_blocks
from hbvla_ros.kernels.pointwise import RmsNorm
import torch

CHUNK = 512  # columns that share an activation scale
_TYPES = {torch.float32: 0, torch.bfloat16: 1}
_TRANSFORMS = {'none': 0, 'haar': 1, 'haar3': 3, 'haar6': 6, 'hadamard': -1}
_ALIGNMENT = 64
_FOREVER = 1 << 60


@dataclass(frozen=True, eq=False)
class Prepared:
    """Activations as a path reads them; fits every weight of the same columns."""

    path: str
    layout: ColumnLayout
    rows: int
    data: torch.Tensor


@dataclass(frozen=True, eq=False)
class _Columns:
    struct: native.Columns
    sources: torch.Tensor  # keeps the memory that the struct points to


@dataclass(frozen=True, eq=False)
class _Weight:
    struct: native.Weight
    sums: torch.Tensor | None


_columns: WeakKeyDictionary[ColumnLayout, _Columns] = WeakKeyDictionary()
_weights: WeakKeyDictionary[PackedWeight, _Weight] = WeakKeyDictionary()


@dataclass(frozen=True)
class CpuKernel:
    """
    A kernel of the native library.

    ``path`` computes bfloat16 activations and ``wide`` float32 ones; ``least`` and ``most`` rows
    are where it is the fastest of its kind; ``exact`` is False where activations become int8.
    """

    path: str
    wide: str
    least: int = 1
    most: int = _FOREVER
    exact: bool = True

    def supports(self, packed: PackedWeight, x: torch.Tensor) -> bool:
        """Tell whether the library, the processor and this input allow it."""
        layout = packed.layout
        return (
            x.device.type == 'cpu'
            and x.dtype in _TYPES
            and not (x.requires_grad and torch.is_grad_enabled())
            and {layout.transform, layout.salient_transform} <= set(_TRANSFORMS)
            and native.available(self.path_for(x))
        )

    def suits(self, packed: PackedWeight, x: torch.Tensor) -> bool:
        """Tell whether it is a good choice for this number of rows, too."""
        rows = x.numel() // max(1, packed.layout.in_features)
        return self.least <= rows <= self.most and self.supports(packed, x)

    def linear(
        self, x: torch.Tensor, packed: PackedWeight, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        """
        Compute ``x W^T + b``.

        :param x: float32 or bfloat16 ``[..., in_features]``
        :param packed: the weights
        :param bias: ``[out_features]`` or None
        :return: ``[..., out_features]`` in the dtype of ``x``
        """
        product = self.multiply(self.prepare(x, packed.layout), packed, x.dtype, bias)
        return product.view(*x.shape[:-1], packed.out_features)

    def prepare(
        self, x: torch.Tensor, layout: ColumnLayout, norm: RmsNorm | None = None
    ) -> Prepared:
        """
        Bring activations into the layout of this kernel.

        :param x: float32 or bfloat16 ``[..., in_features]``
        :param layout: the columns of the weights that will follow
        :param norm: normalizes the rows on the way; ``x`` is then contiguous
        :raises ConfigError: if the width differs, the processor does not run this kernel or the
            norm does not fit the rows
        """
        library, path = _library(), self.path_for(x)
        if x.shape[-1] != layout.in_features:
            raise ConfigError(
                f'the packed weight reads {layout.in_features} features, got {x.shape[-1]}'
            )
        rows, before = _rows(x), None if norm is None else norm.struct(x)
        if rows.shape[0] == 0:
            return Prepared(path, layout, 0, rows)
        number = native.PATHS[path]
        size = library.hb_prepared_bytes(
            number, rows.shape[0], layout.plain_width, layout.salient_width
        )
        if size < 0:
            raise ConfigError(f'kernel {path}: this processor does not run it')
        data = _aligned(size)
        status = library.hb_prepare(
            number, _columns_of(layout).struct, rows.data_ptr(), rows.shape[0], rows.stride(0),
            _TYPES[x.dtype], before, data.data_ptr(), torch.get_num_threads(),
        )  # fmt: skip
        if status:  # the text costs as much as a small product
            native.check(status, f'kernel {path}, preparing {tuple(x.shape)}')
        return Prepared(path, layout, rows.shape[0], data)

    def multiply(
        self,
        prepared: Prepared,
        packed: PackedWeight,
        dtype: torch.dtype,
        bias: torch.Tensor | None = None,
        add_to: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """
        Multiply prepared activations with weights of the same columns.

        :param dtype: of the result, float32 or bfloat16
        :param add_to: contiguous ``[rows, out_features]`` of that dtype; the rounded product is
            added to it, in its memory
        :return: ``[rows, out_features]``
        :raises ConfigError: if the weights have other columns, their arrays are damaged, or the
            product can't be added
        """
        if not same_columns(prepared.layout, packed.layout):
            raise ConfigError('the activations were prepared for other columns')
        out = _output(prepared.rows, packed.out_features, dtype, add_to)
        added = None if bias is None else _bias(bias, packed.out_features)
        weight = _weight_of(packed, sums=prepared.path == 'avx512_vnni')
        if prepared.rows == 0:
            return out
        output = native.Output(
            out.data_ptr(), packed.out_features, _TYPES[dtype],
            None if added is None else added.data_ptr(), add_to is not None,
        )  # fmt: skip
        path = prepared.path
        status = _library().hb_multiply(
            native.PATHS[path], weight.struct, prepared.data.data_ptr(), prepared.rows, output,
            torch.get_num_threads(),
        )  # fmt: skip
        if status:
            native.check(status, f'kernel {path}, {prepared.rows} rows')
        return out

    def path_for(self, x: torch.Tensor) -> str:
        """Return the path that takes activations of this type."""
        return self.wide if x.dtype == torch.float32 else self.path


def same_columns(first: ColumnLayout, second: ColumnLayout) -> bool:
    """Tell whether activations prepared for one layout fit the other."""
    return first is second or (
        first.permutation is second.permutation
        and first.in_features == second.in_features
        and first.num_salient == second.num_salient
        and first.transform == second.transform
        and first.salient_transform == second.salient_transform
    )


def _library() -> ctypes.CDLL:
    library = native.library()
    if library is None:
        raise ConfigError('the native kernels are not built: python3 -m hbvla_ros.kernels.build')
    return library


def _rows(x: torch.Tensor) -> torch.Tensor:
    rows = x if x.dim() == 2 else x.reshape(-1, x.shape[-1])
    return rows if rows.stride(-1) == 1 or rows.numel() == 0 else rows.contiguous()


def _aligned(size: int) -> torch.Tensor:
    data = torch.empty(size + _ALIGNMENT, dtype=torch.uint8)
    start = -data.data_ptr() % _ALIGNMENT
    return data[start:] if start else data  # torch's own memory is aligned


def _output(
    rows: int, width: int, dtype: torch.dtype, add_to: torch.Tensor | None
) -> torch.Tensor:
    if add_to is None:
        return torch.empty(rows, width, dtype=dtype)
    found = (tuple(add_to.shape), add_to.dtype, add_to.is_contiguous(), add_to.device.type)
    if found != ((rows, width), dtype, True, 'cpu'):
        raise ConfigError(
            f'a product of {(rows, width)}, {dtype}, is added to contiguous memory of its kind on '
            f'the CPU, got {add_to.dtype} {tuple(add_to.shape)} on {add_to.device}'
        )
    return add_to


def _bias(bias: torch.Tensor, out_features: int) -> torch.Tensor:
    if bias.shape != (out_features,):
        raise ConfigError(f'the bias must be {(out_features,)}, got {tuple(bias.shape)}')
    return bias.detach().to(torch.float32).contiguous()


def _check_arrays(packed: PackedWeight) -> None:
    """Refuse arrays whose memory is not what their shapes promise."""
    width = packed.layout.virtual_width
    blocks = row_blocks(packed.out_features)
    expected = {
        'bits': (torch.int64, (blocks, width // 4)),
        'levels': (torch.int8, (blocks, width // 128, 2, 16)),
        'row_scale': (torch.float32, (packed.layout.segments, packed.out_features)),
    }
    for name, (dtype, shape) in expected.items():
        array = getattr(packed, name)
        found = (array.dtype, tuple(array.shape), array.is_contiguous(), array.device.type)
        if found != (dtype, shape, True, 'cpu'):
            raise ConfigError(
                f'{name} must be contiguous {dtype} {shape} on the CPU, got {array.dtype} '
                f'{tuple(array.shape)} on {array.device}'
            )


def _columns_of(layout: ColumnLayout) -> _Columns:
    known = _columns.get(layout)
    if known is None:
        sources = layout.sources().to(torch.int32).contiguous()
        struct = native.Columns(
            layout.in_features, layout.plain_width, layout.salient_width, sources.data_ptr(),
            _TRANSFORMS[layout.transform], _TRANSFORMS[layout.salient_transform],
        )  # fmt: skip
        known = _columns[layout] = _Columns(struct, sources)
    return known


def _weight_of(packed: PackedWeight, *, sums: bool) -> _Weight:
    known = _weights.get(packed)
    if known is None or (sums and known.sums is None):
        _check_arrays(packed)
        layout = packed.layout
        struct = native.Weight(
            packed.out_features, layout.plain_width, layout.salient_width,
            packed.bits.data_ptr(), packed.levels.data_ptr(), packed.row_scale.data_ptr(), None,
        )  # fmt: skip
        known = _weights[packed] = _Weight(struct, _chunk_sums(struct, packed) if sums else None)
    return known


def _chunk_sums(struct: native.Weight, packed: PackedWeight) -> torch.Tensor:
    chunks = sum(-(-width // CHUNK) for width in packed.layout.segment_widths)
    sums = torch.empty(chunks, 16 * row_blocks(packed.out_features), dtype=torch.int32)
    native.check(_library().hb_chunk_sums(struct, sums.data_ptr()), 'sums of the weights')
    struct.sums = sums.data_ptr()
    return sums


AMX_BF16 = CpuKernel('amx_bf16', 'amx_split', least=5)
AVX512_LUT = CpuKernel('avx512_lut', 'avx512_lut', most=16)
AVX512 = CpuKernel('avx512', 'avx512')
AVX2 = CpuKernel('avx2', 'avx2')
PORTABLE = CpuKernel('portable', 'portable', most=32)
AMX_INT8 = CpuKernel('amx_int8', 'amx_int8', least=9, exact=False)
AVX512_VNNI = CpuKernel('avx512_vnni', 'avx512_vnni', exact=False)
AVX2_INT8 = CpuKernel('avx2_int8', 'avx2_int8', exact=False)
NEON = CpuKernel('neon', 'neon', exact=False)
PORTABLE_INT8 = CpuKernel('portable_int8', 'portable_int8', most=0, exact=False)
