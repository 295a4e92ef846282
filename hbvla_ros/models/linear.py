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

"""A linear layer whose weights stay packed."""

from collections.abc import Callable
from typing import Any
from weakref import ref

from hbvla_ros.kernels.cpu import CpuKernel, Prepared
from hbvla_ros.kernels.dispatch import binary_linear, choose, load_kernel
from hbvla_ros.kernels.gpu import place
from hbvla_ros.kernels.packing import PackedWeight
import torch
from torch import nn


class Siblings:
    """
    Layers that one parent calls with the same input, such as q, k and v.

    The activations are prepared for the first of them and kept until the last has run. Whoever
    calls them must not change the input in between.
    """

    def __init__(self, count: int) -> None:
        """
        Expect calls.

        :param count: of layers that share columns
        """
        self._count = count
        self._left = 0
        self._source: Callable[[], torch.Tensor | None] = lambda: None
        self._version = 0
        self._prepared: Prepared | None = None

    def linear(
        self, x: torch.Tensor, packed: PackedWeight, bias: torch.Tensor | None
    ) -> torch.Tensor:
        """Compute like ``binary_linear``, with the preparation shared where the kernel can."""
        kernel = load_kernel(choose(packed, x))
        if not isinstance(kernel, CpuKernel):
            return binary_linear(x, packed, bias)
        prepared = self._prepared
        # Inference tensors have no version: there the rule above is all there is.
        version = 0 if x.is_inference() else x._version  # noqa: SLF001
        same = self._source() is x and self._version == version
        if prepared is None or not same or prepared.path != kernel.path_for(x):
            prepared = kernel.prepare(x, packed.layout)
            self._prepared, self._source, self._left = prepared, ref(x), self._count
            self._version = version
        self._left -= 1
        if self._left == 0:
            self._prepared = None
        product = kernel.multiply(prepared, packed, x.dtype, bias)
        return product.view(*x.shape[:-1], packed.out_features)


class BinaryLinear(nn.Module):
    """
    ``y = W x + b`` with packed W.

    The packed arrays follow the module's device but are neither parameters nor part of the state
    dict: their place is the artifact.
    """

    def __init__(self, packed: PackedWeight, bias: torch.Tensor | None) -> None:
        """
        Wrap packed weights.

        :param packed: the weights
        :param bias: ``[out_features]`` or None
        """
        super().__init__()
        self.packed = packed
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self.siblings: Siblings | None = None

    @property
    def in_features(self) -> int:
        """Return the number of inputs."""
        return self.packed.layout.in_features

    @property
    def out_features(self) -> int:
        """Return the number of outputs."""
        return self.packed.out_features

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply ``[..., in_features]`` to ``[..., out_features]``, in the dtype of ``x``."""
        product = binary_linear if self.siblings is None else self.siblings.linear
        return product(x, self.packed, self.bias)

    def _apply(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> 'BinaryLinear':
        """Move like any module, in the form that is computed on there; never cast."""
        super()._apply(fn, *args, **kwargs)  # type: ignore[no-untyped-call]
        device = fn(self.packed.bits.new_empty(0)).device
        if device != self.packed.bits.device:
            self.packed = place(self.packed, device)
        return self

    def extra_repr(self) -> str:
        """Say what is inside, for ``print(model)``."""
        return f'in_features={self.in_features}, out_features={self.out_features}, packed'
