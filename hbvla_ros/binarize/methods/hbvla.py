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
HBVLA as we read the paper.

Corrected Hessian -> salient columns -> pairing permutation -> Haar -> one bit per weight in groups
of 128 with column feedback, two planes (residual) on the salient columns. The paper's appendix is
not public: ``doc/method.md`` lists every choice that is ours. Source: arXiv 2602.13710.
"""

from collections.abc import Sequence
from dataclasses import dataclass
import math
from typing import Any

from hbvla_ros.binarize.feedback import code_with_feedback, GroupCodes, sign_pass
from hbvla_ros.binarize.haar import TRANSFORMS
from hbvla_ros.binarize.layout import ColumnLayout, GROUP
from hbvla_ros.binarize.method import damped, FamilyStats
from hbvla_ros.binarize.pairing import greedy_pair
from hbvla_ros.binarize.saliency import budgets, column_scores, split_columns
from hbvla_ros.binarize.weight import BinaryWeight, round_levels, segment_scales
from hbvla_ros.core.errors import ConfigError
import torch

SEARCH = -1


@dataclass(frozen=True, kw_only=True)
class HbvlaConfig:
    """
    The switches of the method.

    ``num_salient`` is a number of columns, or -1 to search: another 128 columns are taken while
    the logarithm of the error falls by ``min_gain_per_bit`` per added stored bit, the rate at
    which a second plane on *all* columns would lower it.
    """

    corrected: float = 1.0  # weight of the corrected Hessian in the mixture; 1 is the paper
    dampening: float = 0.01
    pairing: bool = True
    transform: str = 'haar'
    salient_transform: str = 'haar'
    num_salient: int = SEARCH
    max_salient_share: float = 0.25
    min_gain_per_bit: float = 1.0
    frozen_sign_pass: bool = True  # one pass over the signs after the levels are rounded

    def __post_init__(self) -> None:
        if not 0 <= self.corrected <= 1:
            raise ConfigError(f'corrected must be in 0..1, got {self.corrected}')
        if not self.dampening > 0:
            raise ConfigError(f'dampening must be positive, got {self.dampening}')
        if self.num_salient < SEARCH:
            raise ConfigError(f'num_salient must be -1 (search) or more, got {self.num_salient}')
        if not 0 <= self.max_salient_share <= 1:
            raise ConfigError(f'max_salient_share must be in 0..1, got {self.max_salient_share}')
        for name in (self.transform, self.salient_transform):
            if name not in TRANSFORMS:
                raise ConfigError(f'unknown transform {name!r}; known: {", ".join(TRANSFORMS)}')


class _Hbvla:
    config_type = HbvlaConfig

    def quantize(
        self, weights: Sequence[torch.Tensor], stats: FamilyStats, config: Any
    ) -> list[BinaryWeight]:
        """Quantize a family; the rows of its linears are stacked and coded together."""
        stacked = torch.cat([weight.float() for weight in weights])
        mixed = (1 - config.corrected) * stats.plain + config.corrected * stats.corrected
        stacked[:, mixed.diagonal() <= 0] = 0  # dead columns: the damping alone holds them
        hessian, added = damped(mixed, config.dampening)
        scores = column_scores(stacked, hessian)
        best: tuple[float, BinaryWeight] | None = None
        for count in _counts(stacked.shape[1], config):
            layout = _layout(stacked, scores, count, config)
            rotated = layout.rotate(hessian, added).float()
            weight, error = _code(stacked, rotated, layout, config)
            if best is not None and not _pays(best, (error, weight), config):
                break
            best = (error, weight)
        assert best is not None
        return _unstack(best[1], [len(weight) for weight in weights])


def _counts(in_features: int, config: HbvlaConfig) -> Sequence[int]:
    if config.num_salient != SEARCH:
        return [min(config.num_salient, in_features - 1)]
    return list(budgets(in_features, config.max_salient_share))


def _layout(
    stacked: torch.Tensor, scores: torch.Tensor, count: int, config: HbvlaConfig
) -> ColumnLayout:
    plain, salient = split_columns(scores, count)
    if config.pairing:
        plain = plain[greedy_pair(stacked[:, plain]).to(plain.device)]
    return ColumnLayout(
        in_features=stacked.shape[1],
        num_salient=count,
        transform=config.transform,
        salient_transform=config.salient_transform,
        permutation=torch.cat([plain, salient]),
    )


def _code(
    stacked: torch.Tensor, hessian: torch.Tensor, layout: ColumnLayout, config: HbvlaConfig
) -> tuple[BinaryWeight, float]:
    target = layout.forward(stacked)
    groups = layout.plain_width // GROUP, layout.salient_width // GROUP
    codes = code_with_feedback(target, hessian, [1] * groups[0] + [2] * groups[1])
    codes, levels, row_scale = _round(codes, layout)
    if config.frozen_sign_pass:
        codes = sign_pass(target, hessian, codes)
    signs = _virtual_signs(codes.choice, layout)
    residual = target - codes.values()
    error = float(((residual @ hessian) * residual).sum())
    return BinaryWeight(layout, signs, levels, row_scale), error


def _round(
    codes: GroupCodes, layout: ColumnLayout
) -> tuple[GroupCodes, torch.Tensor, torch.Tensor]:
    """Put the levels on the int8 grid; the codes that come back use the rounded levels."""
    plain = layout.plain_width // GROUP
    salient = codes.levels[plain:]
    virtual = [levels[:, 0] for levels in codes.levels] + [levels[:, 1] for levels in salient]
    levels, row_scale = round_levels(torch.stack(virtual, dim=1), layout)
    real = levels.float() * segment_scales(layout, row_scale)[..., None]
    width = layout.width // GROUP
    rounded = [real[:, [g]] for g in range(plain)] + [
        torch.stack([real[:, g], real[:, g - plain + width]], dim=1) for g in range(plain, width)
    ]
    return GroupCodes(rounded, codes.choice), levels, row_scale


def _virtual_signs(choice: torch.Tensor, layout: ColumnLayout) -> torch.Tensor:
    return torch.cat([(choice & 1) > 0, (layout.split(choice)[1] & 2) > 0], dim=1)


def _pays(
    before: tuple[float, BinaryWeight], after: tuple[float, BinaryWeight], config: HbvlaConfig
) -> bool:
    # A group costs 128 sign bits and two int8 levels per row, padded.
    widths = [weight.layout.virtual_width for _, weight in (before, after)]
    added_bits = (widths[1] - widths[0]) * (GROUP + 16) / GROUP / after[1].layout.in_features
    if after[0] <= 0 or before[0] <= 0:
        return after[0] < before[0]
    return math.log(before[0] / after[0]) >= config.min_gain_per_bit * max(added_bits, 1e-9)


def _unstack(weight: BinaryWeight, rows: Sequence[int]) -> list[BinaryWeight]:
    parts = zip(
        weight.signs.split(list(rows)),
        weight.levels.split(list(rows)),
        weight.row_scale.split(list(rows)),
        strict=True,
    )
    return [BinaryWeight(weight.layout, *part) for part in parts]


HBVLA = _Hbvla()
