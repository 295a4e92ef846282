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
Choose the kernel for a product with packed weights.

``KERNELS`` lists the kernels, fastest first; ``HBVLA_KERNEL`` in the environment forces one by
name. The first use of each is announced once in the log. An entry is a module, or
``module:OBJECT``, with ``linear(x, packed)`` and ``supports(packed, x)``. It may be a
:class:`PreparingKernel`, whose preparation linears share that read the same input. It may have
``suits(packed, x)``, asked instead of ``supports`` unless it is forced, and ``exact``: a kernel
that is not is only chosen for weights that allow it, or forced.
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
import logging
import os
from typing import Any, Protocol, runtime_checkable

from hbvla_ros.binarize.layout import ColumnLayout
from hbvla_ros.core.errors import ConfigError
from hbvla_ros.kernels.packing import PackedWeight
import torch

_LOG = logging.getLogger(__name__)
KERNELS = {
    'triton_int8': 'hbvla_ros.kernels.triton_linear:INT8',
    'triton': 'hbvla_ros.kernels.triton_linear:EXACT',
    'amx_int8': 'hbvla_ros.kernels.cpu:AMX_INT8',
    'avx512_vnni': 'hbvla_ros.kernels.cpu:AVX512_VNNI',
    'avx2_int8': 'hbvla_ros.kernels.cpu:AVX2_INT8',
    'neon': 'hbvla_ros.kernels.cpu:NEON',
    'portable_int8': 'hbvla_ros.kernels.cpu:PORTABLE_INT8',
    'amx_bf16': 'hbvla_ros.kernels.cpu:AMX_BF16',
    'avx512_lut': 'hbvla_ros.kernels.cpu:AVX512_LUT',
    'avx512': 'hbvla_ros.kernels.cpu:AVX512',
    'avx2': 'hbvla_ros.kernels.cpu:AVX2',
    'portable': 'hbvla_ros.kernels.cpu:PORTABLE',
    'reference': 'hbvla_ros.kernels.reference',
}


class Kernel(Protocol):
    """A module or an object that multiplies with packed weights."""

    def supports(self, packed: PackedWeight, x: torch.Tensor) -> bool:
        """Tell whether this kernel takes these shapes, types and devices."""

    def linear(self, x: torch.Tensor, packed: PackedWeight) -> torch.Tensor:
        """Compute ``x W^T``: ``[..., in]`` to ``[..., out]``."""


@runtime_checkable
class PreparingKernel(Kernel, Protocol):
    """A kernel in two steps; the first suits every weight of the same columns."""

    def prepare(self, x: torch.Tensor, layout: ColumnLayout, norm: Any = None) -> Any:
        """Bring ``[..., in]`` into the form that ``multiply`` reads, after an ``RmsNorm``."""

    def multiply(
        self,
        prepared: Any,
        packed: PackedWeight,
        dtype: torch.dtype,
        bias: torch.Tensor | None = None,
        add_to: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return ``[rows, out]`` of a dtype; added to ``add_to``, in its memory, if given."""


@dataclass(frozen=True, eq=False)
class Entry:
    """Activations prepared by the kernel that will multiply them."""

    kernel: PreparingKernel
    prepared: Any


@lru_cache
def load_kernel(name: str) -> Kernel:
    """
    Import a kernel by name.

    :raises ConfigError: for an unknown name; the message lists the known ones
    """
    if name not in KERNELS:
        raise ConfigError(f'unknown kernel {name!r} in HBVLA_KERNEL; known: {", ".join(KERNELS)}')
    module, _, entry = KERNELS[name].partition(':')
    found = import_module(module)
    kernel: Kernel = getattr(found, entry) if entry else found
    return kernel


def kernel_names() -> tuple[str, ...]:
    """Return the kernels to try, in order: the forced one alone, or all."""
    forced = os.environ.get('HBVLA_KERNEL')
    return (forced,) if forced else tuple(KERNELS)


def choose(packed: PackedWeight, x: torch.Tensor) -> str:
    """
    Return the name of the kernel that a product runs on.

    :param packed: weights on the device of ``x``
    :param x: ``[..., in_features]``
    :raises ConfigError: if the widths differ, or a forced kernel refuses
    """
    if x.shape[-1] != packed.layout.in_features:
        raise ConfigError(
            f'the packed weight reads {packed.layout.in_features} features, got {x.shape[-1]}'
        )
    names = kernel_names()
    for name in names:
        kernel = load_kernel(name)
        if len(names) == 1:
            chosen = kernel.supports(packed, x)
        else:
            allowed = packed.allows_int8 or getattr(kernel, 'exact', True)
            chosen = allowed and getattr(kernel, 'suits', kernel.supports)(packed, x)
        if chosen:
            _announce(name)
            return name
    raise ConfigError(
        f'kernel {names} does not support {x.dtype} {tuple(x.shape)} on {x.device}; '
        'unset HBVLA_KERNEL'
    )


def binary_linear(
    x: torch.Tensor,
    packed: PackedWeight,
    bias: torch.Tensor | None = None,
    *,
    entry: Entry | None = None,
    add_to: torch.Tensor | None = None,
) -> torch.Tensor:
    """
    Compute ``x W^T + b`` with the first kernel that supports it.

    :param x: ``[..., in_features]``, float32 or bfloat16
    :param packed: weights on the same device
    :param bias: ``[out_features]`` or None
    :param entry: ``x`` prepared for these weights, if it was already; its kernel multiplies
    :param add_to: contiguous, of the shape and dtype of the result, which is added to it in its
        memory
    :return: ``[..., out_features]``
    :raises ConfigError: if the widths differ, or a forced kernel refuses
    """
    kernel = load_kernel(choose(packed, x)) if entry is None else entry.kernel
    if not isinstance(kernel, PreparingKernel):
        y = kernel.linear(x, packed)
        y = y if bias is None else y + bias.to(y.dtype)
        return y if add_to is None else add_to.add_(y)
    prepared = kernel.prepare(x, packed.layout) if entry is None else entry.prepared
    flat = None if add_to is None else add_to.view(-1, packed.out_features)
    y = kernel.multiply(prepared, packed, x.dtype, bias, flat)
    return y.view(*x.shape[:-1], packed.out_features)


@lru_cache
def _announce(name: str) -> None:
    _LOG.info('kernel for packed weights: %s', name)
