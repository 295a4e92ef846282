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
name. The first use of each is announced once in the log. An entry is a module with
``linear(x, packed)`` and ``supports(packed, x)``.
"""

from functools import lru_cache
from importlib import import_module
import logging
import os
from typing import Protocol

from hbvla_ros.core.errors import ConfigError
from hbvla_ros.kernels.packing import PackedWeight
import torch

_LOG = logging.getLogger(__name__)
KERNELS = {
    'triton': 'hbvla_ros.kernels.triton_exact',
    'triton_int8': 'hbvla_ros.kernels.triton_int8',
    'reference': 'hbvla_ros.kernels.reference',
}


class Kernel(Protocol):
    """A module that multiplies with packed weights."""

    def supports(self, packed: PackedWeight, x: torch.Tensor) -> bool:
        """Tell whether this kernel takes these shapes, types and devices."""

    def linear(self, x: torch.Tensor, packed: PackedWeight) -> torch.Tensor:
        """Compute ``x W^T``: ``[..., in]`` to ``[..., out]``."""


@lru_cache
def load_kernel(name: str) -> Kernel:
    """
    Import a kernel by name.

    :raises ConfigError: for an unknown name; the message lists the known ones
    """
    if name not in KERNELS:
        raise ConfigError(f'unknown kernel {name!r} in HBVLA_KERNEL; known: {", ".join(KERNELS)}')
    kernel: Kernel = import_module(KERNELS[name])
    _LOG.info('kernel for packed weights: %s', name)
    return kernel


def kernel_names() -> tuple[str, ...]:
    """Return the kernels to try, in order: the forced one alone, or all."""
    forced = os.environ.get('HBVLA_KERNEL')
    return (forced,) if forced else tuple(KERNELS)


def binary_linear(x: torch.Tensor, packed: PackedWeight) -> torch.Tensor:
    """
    Compute ``x W^T`` with the first kernel that supports it.

    :param x: ``[..., in_features]``, float32 or bfloat16
    :param packed: weights on the same device
    :return: ``[..., out_features]``
    :raises ConfigError: if the widths differ, or a forced kernel refuses
    """
    if x.shape[-1] != packed.layout.in_features:
        raise ConfigError(
            f'the packed weight reads {packed.layout.in_features} features, got {x.shape[-1]}'
        )
    for name in kernel_names():
        kernel = load_kernel(name)
        if kernel.supports(packed, x):
            return kernel.linear(x, packed)
    raise ConfigError(
        f'kernel {kernel_names()} does not support {x.dtype} {tuple(x.shape)} on {x.device}; '
        'unset HBVLA_KERNEL'
    )
