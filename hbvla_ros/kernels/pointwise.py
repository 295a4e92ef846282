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
What a Llama layer does between its products, in the native library, on the CPU.

Plain torch writes every intermediate result to memory and reads it back; these functions pass over
a row once. Values of bfloat16 are rounded wherever torch rounds them, so that results differ from
torch's by the order of a sum (RMSNorm) and the last place of an exponential (SiLU) only.
"""

from dataclasses import dataclass
from typing import Any

from hbvla_ros.core.errors import ConfigError
from hbvla_ros.kernels import native
from hbvla_ros.kernels.dispatch import kernel_names
import torch

_TYPES = {torch.float32: 0, torch.bfloat16: 1}
REFERENCE = 'reference'


def supports(x: torch.Tensor) -> bool:
    """Tell whether the library is there and takes this tensor; not if plain torch is forced."""
    return (
        x.device.type == 'cpu'
        and x.dtype in _TYPES
        and not (x.requires_grad and torch.is_grad_enabled())
        and kernel_names() != (REFERENCE,)
        and native.library() is not None
    )


@dataclass(frozen=True, eq=False)
class RmsNorm:
    """
    ``weight * x / sqrt(mean(x^2) + epsilon)`` over the last dimension.

    ``weight`` is ``[width]``; ``add``, contiguous and of the shape of ``x``, is added to ``x``, in
    the memory of ``x``, before.
    """

    weight: torch.Tensor
    epsilon: float
    add: torch.Tensor | None = None

    def struct(self, x: torch.Tensor) -> native.Norm:
        """
        Describe it to the library, for these rows.

        :param x: contiguous ``[..., width]``
        :raises ConfigError: if a shape, a dtype or the memory layout differs
        """
        added = () if self.add is None else ((self.add, tuple(x.shape)),)
        _check(x, (self.weight, (x.shape[-1],)), *added)
        add = None if self.add is None else self.add.data_ptr()
        return native.Norm(self.weight.data_ptr(), add, self.epsilon)


def rms_norm(x: torch.Tensor, norm: RmsNorm) -> torch.Tensor:
    """
    Normalize rows.

    :param x: contiguous ``[..., width]``; overwritten if there is something to add
    :return: of the shape and dtype of ``x``
    :raises ConfigError: if a shape, a dtype or the memory layout differs
    """
    struct, out = norm.struct(x), torch.empty_like(x)
    _call('hb_normalize', x, x.data_ptr(), struct, out.data_ptr(), _rows(x, 1), x.shape[-1])
    return out


def silu_times_(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """
    Overwrite ``gate`` with ``silu(gate) * up`` and return it.

    :param gate: contiguous ``[..., width]``
    :param up: the same shape and dtype
    :raises ConfigError: if a shape, a dtype or the memory layout differs
    """
    _check(gate, (up, gate.shape))
    _call('hb_gate', gate, gate.data_ptr(), up.data_ptr(), _rows(gate, 1), gate.shape[-1])
    return gate


def rotate_(x: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
    """
    Overwrite ``x`` with its rotary position embedding (halves, as in Llama) and return it.

    :param x: contiguous ``[..., tokens, heads, width]``, an even width
    :param cosines: contiguous ``[..., tokens, width]``
    :param sines: the same
    :raises ConfigError: if a shape, a dtype or the memory layout differs
    """
    places = (*x.shape[:-2], x.shape[-1])
    _check(x, (cosines, places), (sines, places))
    _call(
        'hb_rotate', x, x.data_ptr(), cosines.data_ptr(), sines.data_ptr(), _rows(x, 2),
        x.shape[-2], x.shape[-1],
    )  # fmt: skip
    return x


def _rows(x: torch.Tensor, inner: int) -> int:
    return x.shape[:-inner].numel()


def _check(x: torch.Tensor, *others: tuple[torch.Tensor, tuple[int, ...]]) -> None:
    for tensor, shape in ((x, tuple(x.shape)), *others):
        if tensor.dtype != x.dtype or tuple(tensor.shape) != tuple(shape):
            raise ConfigError(
                f'expected {x.dtype} {tuple(shape)}, got {tensor.dtype} {tuple(tensor.shape)}'
            )
        if not tensor.is_contiguous() or tensor.device.type != 'cpu' or x.dtype not in _TYPES:
            raise ConfigError('expected contiguous float32 or bfloat16 on the CPU')


def _call(function: str, x: torch.Tensor, *arguments: Any) -> None:
    library = native.library()
    if library is None:
        raise ConfigError('the native kernels are not built: python3 -m hbvla_ros.kernels.build')
    if x.numel() == 0:
        return
    status = getattr(library, function)(*arguments, _TYPES[x.dtype], torch.get_num_threads())
    native.check(status, f'{function} of {tuple(x.shape)}')
