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
The product with packed weights on a GPU, with int8 activations: fast, and rounded.

One scale per token and chunk of 512 columns, int32 sums. Source: ``doc/gpu_kernels.md``.
"""

from hbvla_ros.kernels.gpu import takes
from hbvla_ros.kernels.packing import PackedWeight
import torch

exact = False  # only for weights that allow it, or by name


def supports(packed: PackedWeight, x: torch.Tensor) -> bool:
    """Striped weights, CUDA tensors, Triton installed."""
    return takes(packed, x)


def linear(x: torch.Tensor, packed: PackedWeight) -> torch.Tensor:
    """
    Compute ``x W^T``.

    :param x: float32, bfloat16 or float16 ``[..., in_features]``
    :param packed: the weights in the form for GPUs, on the device of ``x``
    :return: ``[..., out_features]`` in the dtype of ``x``
    """
    from hbvla_ros.kernels.triton_launch import product, prologue  # imports Triton

    z, scales = prologue(x.flatten(0, -2), packed.layout, integer=True)
    y: torch.Tensor = product(z, scales, packed, x.dtype).unflatten(0, x.shape[:-1])
    return y
