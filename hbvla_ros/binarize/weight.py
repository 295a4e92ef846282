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
The one representation of quantized weights: the level format.

In every group of 128 columns a row takes two values, ``lo`` and ``hi``, stored as int8 multiples
of the row's scale; a sign bit per weight picks one. Salient columns have a second plane that is
added. Every method returns this, so what is packed equals what is dequantized, bit for bit.
"""

from dataclasses import dataclass

from hbvla_ros.binarize.layout import ColumnLayout, GROUP
from hbvla_ros.core.errors import ConfigError
import torch

LEVEL_MAX = 127


@dataclass(frozen=True, eq=False)
class BinaryWeight:
    """
    One quantized linear ``[out_features, in_features]``.

    ``signs`` is ``bool [out, virtual_width]`` (True picks ``hi``), ``levels`` is
    ``int8 [out, virtual_width / 128, 2]`` (lo, hi), ``row_scale`` is ``float32 [out, segments]``.
    """

    layout: ColumnLayout
    signs: torch.Tensor
    levels: torch.Tensor
    row_scale: torch.Tensor

    def __post_init__(self) -> None:
        out, virtual = self.signs.shape[0], self.layout.virtual_width
        expected = {
            'signs': (torch.bool, (out, virtual)),
            'levels': (torch.int8, (out, virtual // GROUP, 2)),
            'row_scale': (torch.float32, (out, self.layout.segments)),
        }
        for name, (dtype, shape) in expected.items():
            tensor = getattr(self, name)
            if tensor.dtype != dtype or tuple(tensor.shape) != shape:
                raise ConfigError(
                    f'{name} must be {dtype} {shape}, got {tensor.dtype} {tuple(tensor.shape)}'
                )

    @property
    def out_features(self) -> int:
        """Return the number of rows."""
        return int(self.signs.shape[0])

    @property
    def in_features(self) -> int:
        """Return the number of columns."""
        return self.layout.in_features

    @property
    def bits_sign(self) -> float:
        """Return the sign bits per weight, the number that papers quote; no padding."""
        return 1 + self.layout.num_salient / self.layout.in_features

    def virtual(self) -> torch.Tensor:
        """Return the stored values, both planes apart: ``float32 [out, virtual_width]``."""
        levels = self.levels.to(torch.float32)
        scale = segment_scales(self.layout, self.row_scale)
        low, high = (levels[..., side] * scale for side in (0, 1))
        signs = self.signs.unflatten(-1, (-1, GROUP))
        return torch.where(signs, high[..., None], low[..., None]).flatten(-2)

    def transformed(self) -> torch.Tensor:
        """Return the values in quantized coordinates, planes added: ``float32 [out, width]``."""
        return fold_planes(self.virtual(), self.layout)

    def dequantize(self) -> torch.Tensor:
        """Return the weight that a dense linear would use: ``float32 [out, in_features]``."""
        return self.layout.inverse(self.transformed())


def segment_scales(layout: ColumnLayout, row_scale: torch.Tensor) -> torch.Tensor:
    """
    Spread the row scales over groups.

    :param row_scale: ``[out, segments]``
    :return: ``[out, virtual_width / 128]``
    """
    repeats = torch.tensor(layout.segment_widths, device=row_scale.device) // GROUP
    return row_scale.repeat_interleave(repeats, dim=1)


def fold_planes(virtual: torch.Tensor, layout: ColumnLayout) -> torch.Tensor:
    """Add the two salient planes: ``[..., virtual_width]`` to ``[..., width]``."""
    plain, width = layout.plain_width, layout.width
    return torch.cat([virtual[..., :plain], virtual[..., plain:width] + virtual[..., width:]], -1)


def round_levels(levels: torch.Tensor, layout: ColumnLayout) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Put real levels on the int8 grid, the last step of every method.

    :param levels: float ``[out, virtual_width / 128, 2]``
    :return: int8 levels of the same shape and ``float32 [out, segments]`` row scales; a row of
        zeros gets scale 0
    """
    magnitude = levels.abs().amax(dim=-1)
    parts = magnitude.split([width // GROUP for width in layout.segment_widths], dim=1)
    row_scale = torch.stack([part.amax(dim=1) for part in parts], dim=1) / LEVEL_MAX
    row_scale = row_scale.to(torch.float32)
    scale = segment_scales(layout, row_scale)[..., None]
    ratio = torch.where(scale > 0, levels / scale.clamp_min(torch.finfo(torch.float32).tiny), 0.0)
    return ratio.round().clamp(-LEVEL_MAX, LEVEL_MAX).to(torch.int8), row_scale
