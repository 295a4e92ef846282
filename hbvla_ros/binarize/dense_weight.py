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
The result of a method that is off the level grid: plain values, with the bits they would take.

The public baselines store a bitmap of magnitude groups and 16-bit parameters per row and block.
No kernel of ours reads that, so they run as dense weights and only their bits are counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hbvla_ros.core.errors import ConfigError
import torch

SIGNS = 'signs'


@dataclass(frozen=True, eq=False)
class DenseWeight:
    """
    One quantized linear ``[out_features, in_features]`` that can't be packed.

    ``values`` is ``float32 [out, in]``. ``bits`` says how many bits each part of the code takes
    for this matrix; ``signs`` must be among the parts. ``num_salient`` columns carry a residual
    code.
    """

    values: torch.Tensor
    bits: Mapping[str, int]
    num_salient: int

    def __post_init__(self) -> None:
        if self.values.dtype != torch.float32 or self.values.dim() != 2:
            raise ConfigError(
                f'values must be torch.float32 [out, in], got {self.values.dtype} '
                f'{tuple(self.values.shape)}'
            )
        if SIGNS not in self.bits or min(self.bits.values()) < 0:
            raise ConfigError(f'bits must be counts with {SIGNS!r} among them, got {self.bits}')
        if not 0 <= self.num_salient <= self.in_features:
            raise ConfigError(
                f'num_salient must be in 0..{self.in_features}, got {self.num_salient}'
            )

    @property
    def out_features(self) -> int:
        """Return the number of rows."""
        return int(self.values.shape[0])

    @property
    def in_features(self) -> int:
        """Return the number of columns."""
        return int(self.values.shape[1])

    @property
    def bits_sign(self) -> float:
        """Return the sign bits per weight, the number that papers quote."""
        return self.bits[SIGNS] / self.values.numel()

    @property
    def stored_bits(self) -> int:
        """Return all bits of this linear: signs, bitmaps, parameters and masks."""
        return sum(self.bits.values())

    def dequantize(self) -> torch.Tensor:
        """Return the weight that a dense linear would use: ``float32 [out, in_features]``."""
        return self.values
