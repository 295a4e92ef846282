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
Round to nearest: plain sign quantization per group of 128 columns, no calibration.

Source: the baseline of BiLLM and HBLLM; ``doc/method.md``
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hbvla_ros.binarize.layout import ColumnLayout, GROUP
from hbvla_ros.binarize.method import FamilyStats
from hbvla_ros.binarize.weight import BinaryWeight, round_levels
import torch


@dataclass(frozen=True, kw_only=True)
class RtnConfig:
    """Nothing to choose."""


class _Rtn:
    config_type = RtnConfig
    target = 'plain'
    on_grid = True

    def quantize(
        self, weights: Sequence[torch.Tensor], stats: FamilyStats, config: Any
    ) -> list[BinaryWeight]:
        """Code each weight by the sign of its distance to the mean of its group."""
        del stats, config  # data-free
        return [_quantize(weight) for weight in weights]


def _quantize(weight: torch.Tensor) -> BinaryWeight:
    layout = ColumnLayout(weight.shape[1])
    live = layout.gather(torch.ones(weight.shape[1], device=weight.device))
    live = live.unflatten(-1, (-1, GROUP))
    grouped = layout.gather(weight.float()).unflatten(-1, (-1, GROUP))
    count = live.sum(dim=-1)  # padding of a ragged last group is no weight
    mean = grouped.sum(dim=-1) / count
    scale = ((grouped - mean[..., None]).abs() * live).sum(dim=-1) / count
    levels, row_scale = round_levels(torch.stack([mean - scale, mean + scale], -1), layout)
    signs = (grouped >= mean[..., None]) & (live > 0)
    return BinaryWeight(layout, signs.flatten(-2), levels, row_scale)


RTN = _Rtn()
