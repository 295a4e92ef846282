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
The orthonormal Haar transform of the last axis, one or several levels.

Source: the Haar pairs of HBLLM (arXiv 2512.00862), here with the exact 1/sqrt(2) both ways.
"""

import torch

_HALF_ROOT = 0.5**0.5


def haar(x: torch.Tensor, levels: int = 1) -> torch.Tensor:
    """
    Transform the last axis.

    :param x: ``[..., L]`` with L divisible by ``2**levels``
    :param levels: how often the low band is split again
    :return: ``[..., L]``; first the coarsest sums (even + odd)/sqrt(2), last the finest
        differences
    """
    even, odd = x[..., 0::2], x[..., 1::2]
    low, high = (even + odd) * _HALF_ROOT, (even - odd) * _HALF_ROOT
    if levels > 1:
        low = haar(low, levels - 1)
    return torch.cat([low, high], dim=-1)


def inverse_haar(x: torch.Tensor, levels: int = 1) -> torch.Tensor:
    """Undo :func:`haar`."""
    low, high = x.chunk(2, dim=-1)
    if levels > 1:
        low = inverse_haar(low, levels - 1)
    pairs = torch.stack([low + high, low - high], dim=-1) * _HALF_ROOT
    return pairs.flatten(-2)
