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
What the Triton kernels ask of a machine, without importing Triton.

A CUDA device and the ``triton`` package (it comes with CUDA builds of torch); or, for tests,
Triton's interpreter on the CPU.
"""

from dataclasses import replace
from functools import lru_cache
from importlib.util import find_spec
import os

from hbvla_ros.kernels.packing import pack, PackedWeight, striped, unpack
import torch

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@lru_cache
def has_triton() -> bool:
    """Tell whether Triton is installed."""
    return find_spec('triton') is not None


def is_interpreted() -> bool:
    """Tell whether Triton was told to run kernels in Python, on the CPU."""
    return os.environ.get('TRITON_INTERPRET') == '1'


def takes(packed: PackedWeight, x: torch.Tensor) -> bool:
    """Tell whether the Triton kernels multiply these."""
    where = x.is_cuda or (x.device.type == 'cpu' and is_interpreted())
    return where and packed.is_striped and x.dtype in DTYPES and x.numel() > 0 and has_triton()


def place(packed: PackedWeight, device: torch.device) -> PackedWeight:
    """
    Move weights to a device, in the form that is computed on there; nothing is kept twice.

    :param packed: anywhere
    :param device: a CUDA device takes the form for GPUs, if Triton is installed
    """
    moved = packed.to(device)
    if device.type == 'cuda':
        return striped(moved) if has_triton() else moved
    if not moved.is_striped:
        return moved
    again = pack(unpack(moved))
    return replace(moved, bits=again.bits.to(device), levels=again.levels.to(device))
