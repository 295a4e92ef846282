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
The product with packed weights on a GPU. Source: ``doc/gpu_kernels.md``.

``EXACT`` leaves activations in their dtype: sums are accumulated in float32; bfloat16 and float16
activations are rounded once more after the transform, as the reference does. ``INT8`` rounds them
to int8, one scale per token and chunk of 512 columns, and sums in int32.
"""

from dataclasses import dataclass

from hbvla_ros.kernels.gpu import takes
from hbvla_ros.kernels.packing import PackedWeight
import torch


@dataclass(frozen=True)
class TritonKernel:
    """A kernel for CUDA tensors; one that is not ``exact`` is for weights that allow it."""

    exact: bool

    def supports(self, packed: PackedWeight, x: torch.Tensor) -> bool:
        """Striped weights, CUDA tensors, Triton installed."""
        return takes(packed, x)

    def linear(self, x: torch.Tensor, packed: PackedWeight) -> torch.Tensor:
        """
        Compute ``x W^T``.

        :param x: float32, bfloat16 or float16 ``[..., in_features]``
        :param packed: the weights in the form for GPUs, on the device of ``x``
        :return: ``[..., out_features]`` in the dtype of ``x``
        """
        from hbvla_ros.kernels.triton_launch import product, prologue  # imports Triton

        z, scales = prologue(x.flatten(0, -2), packed.layout, integer=not self.exact)
        y: torch.Tensor = product(z, scales, packed, x.dtype).unflatten(0, x.shape[:-1])
        return y


EXACT = TritonKernel(exact=True)
INT8 = TritonKernel(exact=False)
