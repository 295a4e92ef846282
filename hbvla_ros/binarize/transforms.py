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
Orthogonal transforms along the input axis, block by block, by name.

All act on the last axis, whose length is a multiple of 128: blocks of 256 columns from the left,
the last one 128 long if need be. They are orthogonal, so the inverse is the transpose, energy is
kept, and applying one to weights and activations alike changes no product.
"""

from collections.abc import Callable
from functools import partial

from hbvla_ros.binarize.haar import haar, inverse_haar
from hbvla_ros.binarize.hadamard import hadamard
from hbvla_ros.core.errors import ConfigError
import torch

BLOCK = 256
_Transform = Callable[[torch.Tensor], torch.Tensor]


def _same(x: torch.Tensor) -> torch.Tensor:
    return x


# name: (transform, inverse); haar3 and haar6 split the low band 3 and 6 times
_TABLE: dict[str, tuple[_Transform, _Transform]] = {
    'none': (_same, _same),
    'haar': (haar, inverse_haar),
    'haar3': (partial(haar, levels=3), partial(inverse_haar, levels=3)),
    'haar6': (partial(haar, levels=6), partial(inverse_haar, levels=6)),
    'hadamard': (hadamard, hadamard),
}
TRANSFORMS = tuple(_TABLE)


def check_transform(name: str) -> None:
    """
    Refuse a name that is none.

    :raises ConfigError: listing the known ones
    """
    if name not in _TABLE:
        raise ConfigError(f'unknown transform {name!r}; known: {", ".join(TRANSFORMS)}')


def transform(x: torch.Tensor, name: str) -> torch.Tensor:
    """
    Apply the block transform T to the last axis: ``T x`` for a vector.

    :param x: ``[..., L]``, L a multiple of 128
    :param name: one of ``TRANSFORMS``
    :raises ConfigError: for an unknown transform
    """
    check_transform(name)
    return _blockwise(x, _TABLE[name][0])


def inverse_transform(x: torch.Tensor, name: str) -> torch.Tensor:
    """Undo :func:`transform`; for a row of weights ``w'`` this is ``w' T``."""
    check_transform(name)
    return _blockwise(x, _TABLE[name][1])


def _blockwise(x: torch.Tensor, function: _Transform) -> torch.Tensor:
    whole = x.shape[-1] // BLOCK * BLOCK
    parts = []
    if whole:
        parts.append(function(x[..., :whole].unflatten(-1, (-1, BLOCK))).flatten(-2))
    if whole < x.shape[-1]:
        parts.append(function(x[..., whole:]))
    return torch.cat(parts, dim=-1) if parts else x
