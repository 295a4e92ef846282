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

from collections.abc import Callable, Sequence
from typing import Any

from hbvla_ros.kernels.cpu import same_columns
from hbvla_ros.kernels.dispatch import (
    binary_linear,
    choose,
    Entry,
    load_kernel,
    PreparingKernel,
)
from hbvla_ros.kernels.gpu import place
from hbvla_ros.kernels.packing import PackedWeight
from hbvla_ros.kernels.pointwise import RmsNorm
import torch
from torch import nn


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

    @property
    def in_features(self) -> int:
        """Return the number of inputs."""
        return self.packed.layout.in_features

    @property
    def out_features(self) -> int:
        """Return the number of outputs."""
        return self.packed.out_features

    def forward(
        self,
        x: torch.Tensor,
        entry: Entry | None = None,
        add_to: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """
        Multiply ``[..., in_features]`` to ``[..., out_features]``, in the dtype of ``x``.

        :param entry: ``x`` prepared for the kernel of this layer, if it was already
        :param add_to: contiguous, of the shape and dtype of the result, which is added to it in
            its memory
        """
        return binary_linear(x, self.packed, self.bias, entry=entry, add_to=add_to)

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


def together(layers: Sequence[nn.Module], x: torch.Tensor) -> list[torch.Tensor]:
    """
    Apply linears that read the same input, such as q, k and v; it is prepared once if it can be.

    :param layers: dense or packed
    :param x: ``[..., in_features]``
    :return: what each gives, in order
    """
    found = sharing(layers, x)
    return [layer(x) for layer in layers] if found is None else found


def sharing(
    layers: Sequence[nn.Module], x: torch.Tensor, norm: RmsNorm | None = None
) -> list[torch.Tensor] | None:
    """
    Apply linears that can share the preparation of their input, its norm included.

    :param layers: dense or packed
    :param x: ``[..., in_features]``, contiguous if there is a norm
    :param norm: of ``x``; its ``add`` is added to ``x`` in place
    :return: what each gives, in order; None, and nothing was done, unless all are packed with the
        same columns and run on the same kernel
    """
    packed = [layer for layer in layers if isinstance(layer, BinaryLinear)]
    if len(packed) != len(layers):
        return None
    columns = packed[0].packed.layout
    kernel, *others = {load_kernel(choose(layer.packed, x)) for layer in packed}
    alike = all(same_columns(columns, layer.packed.layout) for layer in packed)
    if others or not alike or not isinstance(kernel, PreparingKernel):
        return None
    entry = Entry(kernel, kernel.prepare(x, columns, norm))
    return [layer(x, entry) for layer in packed]
