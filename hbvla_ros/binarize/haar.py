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
Orthogonal transforms along the input axis, block by block.

All act on the last axis, whose length is a multiple of 128: blocks of 256 columns from the left,
the last one 128 long if need be. They are orthogonal, so the inverse is the transpose, energy is
kept, and applying one to weights and activations alike changes no product.
"""

from collections.abc import Callable

from hbvla_ros.core.errors import ConfigError
import torch

BLOCK = 256
TRANSFORMS = ('none', 'haar')
_HALF_ROOT = 0.5**0.5


def haar(x: torch.Tensor) -> torch.Tensor:
    """
    One level of the orthonormal Haar transform over the whole last axis.

    Source: Haar pairs of HBLLM (arXiv 2512.00862), here with the exact 1/sqrt(2) both ways.

    :param x: ``[..., L]`` with even L
    :return: ``[..., L]``; first the sums (even + odd)/sqrt(2), then the differences
    """
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.cat([even + odd, even - odd], dim=-1) * _HALF_ROOT


def inverse_haar(x: torch.Tensor) -> torch.Tensor:
    """Undo :func:`haar`."""
    half = x.shape[-1] // 2
    low, high = x[..., :half], x[..., half:]
    pairs = torch.stack([low + high, low - high], dim=-1) * _HALF_ROOT
    return pairs.flatten(-2)


def transform(x: torch.Tensor, name: str) -> torch.Tensor:
    """
    Apply the block transform T to the last axis: ``T x`` for a vector.

    :param x: ``[..., L]``, L a multiple of 128
    :param name: ``none`` or ``haar``
    :raises ConfigError: for an unknown transform
    """
    return _blockwise(x, {'none': None, 'haar': haar}, name)


def inverse_transform(x: torch.Tensor, name: str) -> torch.Tensor:
    """Undo :func:`transform`; for a row of weights ``w'`` this is ``w' T``."""
    return _blockwise(x, {'none': None, 'haar': inverse_haar}, name)


def _blockwise(
    x: torch.Tensor,
    table: dict[str, Callable[[torch.Tensor], torch.Tensor] | None],
    name: str,
) -> torch.Tensor:
    if name not in table:
        raise ConfigError(f'unknown transform {name!r}; known: {", ".join(TRANSFORMS)}')
    function = table[name]
    if function is None or x.shape[-1] == 0:
        return x
    whole = x.shape[-1] // BLOCK * BLOCK
    blocks = x[..., :whole].unflatten(-1, (-1, BLOCK)) if whole else x[..., :0]
    head = function(blocks).flatten(-2) if whole else blocks
    if whole == x.shape[-1]:
        return head
    return torch.cat([head, function(x[..., whole:])], dim=-1)
