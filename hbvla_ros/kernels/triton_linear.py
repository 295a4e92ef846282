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

from hbvla_ros.binarize.layout import ColumnLayout
from hbvla_ros.kernels.gpu import takes
from hbvla_ros.kernels.packing import PackedWeight
from hbvla_ros.kernels.pointwise import RmsNorm
import torch

Prepared = tuple[torch.Tensor, torch.Tensor]


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
        prepared = self.prepare(x, packed.layout)
        y: torch.Tensor = self.multiply(prepared, packed, x.dtype).unflatten(0, x.shape[:-1])
        return y

    def prepare(
        self, x: torch.Tensor, layout: ColumnLayout, norm: RmsNorm | None = None
    ) -> Prepared:
        """
        Bring activations into the coordinates of the weights.

        :param x: float32, bfloat16 or float16 ``[..., in_features]``
        :param layout: the columns of the weights that will follow
        :param norm: normalizes the rows on the way, in float32
        """
        from hbvla_ros.kernels.triton_launch import prologue  # imports Triton

        rows = x if norm is None or norm.add is None else x.add_(norm.add)
        before = None if norm is None else (norm.weight, norm.epsilon)
        return prologue(rows.flatten(0, -2), layout, integer=not self.exact, norm=before)

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

        :param dtype: of the result
        :param bias: ``[out_features]`` or None
        :param add_to: ``[rows, out_features]``; the product is added to it, in its memory
        :return: ``[rows, out_features]``
        """
        from hbvla_ros.kernels.triton_launch import product  # imports Triton

        y = product(*prepared, packed, dtype)
        y = y if bias is None else y + bias.to(dtype)
        return y if add_to is None else add_to.add_(y)


EXACT = TritonKernel(exact=True)
INT8 = TritonKernel(exact=False)
