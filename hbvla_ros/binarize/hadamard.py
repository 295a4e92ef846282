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

"""The Hadamard transform of the last axis: it spreads every outlier over the whole block."""

import torch


def hadamard(x: torch.Tensor) -> torch.Tensor:
    """
    Multiply by the Sylvester matrix over sqrt(L), by butterflies; it is its own inverse.

    :param x: ``[..., L]``, L a power of two
    :return: ``[..., L]``
    """
    length = x.shape[-1]
    half = 1
    while half < length:
        first, second = x.unflatten(-1, (-1, 2, half)).unbind(-2)
        x = torch.stack([first + second, first - second], dim=-2).flatten(-3)
        half *= 2
    scaled: torch.Tensor = x * length**-0.5
    return scaled
