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
The recipe that HBVLA and its relatives share; a method is a set of switches.

Mixed Hessian -> salient columns -> permutation -> transform -> levels with column feedback, two
planes on the salient part -> sweeps of refit and sign descent -> int8 levels -> a last pass over
the signs. The linears of a family share everything about their columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
import math

from hbvla_ros.binarize.curvature import Curvature, rotate
from hbvla_ros.binarize.feedback import code_with_feedback, GroupCodes
from hbvla_ros.binarize.layout import ColumnLayout, GROUP
from hbvla_ros.binarize.method import FamilyStats, MixedHessian
from hbvla_ros.binarize.pairing import greedy_pair
from hbvla_ros.binarize.refit import sweep
from hbvla_ros.binarize.saliency import budgets, column_scores, split_columns
from hbvla_ros.binarize.transforms import check_transform
from hbvla_ros.binarize.weight import BinaryWeight, round_levels, segment_scales
from hbvla_ros.core.errors import ConfigError
import torch

SEARCH = -1
_VALUES = 6 << 20  # coded at a time


@dataclass(frozen=True, kw_only=True)
class RecipeConfig:
    """
    The switches of the recipe.

    ``num_salient`` is a number of columns, or -1 to search: another 128 columns are taken while
    the logarithm of the error falls by ``min_gain_per_bit`` per added stored bit, the rate at
    which a second plane on *all* columns would lower it. ``planes: 2`` codes all columns twice.
    """

    corrected: float = 1.0  # weight of the corrected Hessian in the mixture; 1 is the paper
    dampening: float = 0.01
    pairing: bool = True
    transform: str = 'haar'
    salient_transform: str = 'haar'
    num_salient: int = SEARCH
    max_salient_share: float = 0.25
    min_gain_per_bit: float = 1.0
    planes: int = 1
    sweeps: int = 0  # of refit and sign descent under the full Hessian
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
        if self.planes not in (1, 2):
            raise ConfigError(f'planes must be 1 or 2, got {self.planes}')
        if not 0 <= self.sweeps <= 100:
            raise ConfigError(f'sweeps must be in 0..100, got {self.sweeps}')
        check_transform(self.transform)
        check_transform(self.salient_transform)


@dataclass(frozen=True)
class RecipeMethod:
    """A method that is the recipe with the defaults of ``config_type``."""

    config_type: type[RecipeConfig]
    target: str
    on_grid = True

    def quantize(
        self, weights: Sequence[torch.Tensor], stats: FamilyStats, config: RecipeConfig
    ) -> list[BinaryWeight]:
        """Quantize a family, see :func:`quantize_family`."""
        return quantize_family(weights, stats, config)


def quantize_family(
    weights: Sequence[torch.Tensor], stats: FamilyStats, config: RecipeConfig
) -> list[BinaryWeight]:
    """
    Quantize the linears of one family.

    :param weights: ``[out_i, n]`` each; not changed
    :param stats: both Hessians of their common input
    :param config: the switches
    :return: one code per linear, sharing permutation, transform and salient columns
    :raises CalibrationError: if the input was zero or not finite throughout
    """
    hessian = MixedHessian(stats, config.corrected, config.dampening)
    best: tuple[float, list[BinaryWeight]] | None = None
    layouts = _layouts(weights, hessian, config)
    for layout in layouts:
        curvature = Curvature(rotate(hessian.rows, layout, hessian.added))
        codes = [_code(weight, hessian.live, curvature, layout, config) for weight in weights]
        if len(layouts) == 1:
            return codes
        pairs = zip(weights, codes, strict=True)
        after = sum(_error(weight, code, hessian.live, curvature) for weight, code in pairs), codes
        if best is not None and not _pays(best, after, config):
            break
        best = after
    assert best is not None
    return best[1]


def _layouts(
    weights: Sequence[torch.Tensor], hessian: MixedHessian, config: RecipeConfig
) -> list[ColumnLayout]:
    """Return the layouts to try, from few salient columns to many."""
    n = len(hessian.live)
    if config.planes == 2:
        return [ColumnLayout(n, num_salient=n, salient_transform=config.transform)]
    counts: Sequence[int] = [min(config.num_salient, n - 1)]
    if config.num_salient == SEARCH:
        counts = list(budgets(n, config.max_salient_share))
    scores = hessian.live.new_zeros(n, dtype=torch.float64)
    if any(counts):
        scores = column_scores(weights, hessian)
    return [_layout(weights, scores, count, config) for count in counts]


def _layout(
    weights: Sequence[torch.Tensor], scores: torch.Tensor, count: int, config: RecipeConfig
) -> ColumnLayout:
    plain, salient = split_columns(scores, count)
    if config.pairing:
        stacked = torch.cat([weight[:, plain].float() for weight in weights])
        plain = plain[greedy_pair(stacked).to(plain.device)]
    permutation = torch.cat([plain, salient])
    identity = torch.equal(permutation, torch.arange(len(permutation), device=plain.device))
    return ColumnLayout(
        in_features=len(scores),
        num_salient=count,
        transform=config.transform,
        salient_transform=config.salient_transform,
        permutation=None if identity else permutation,
    )


def _code(
    weight: torch.Tensor,
    live: torch.Tensor,
    curvature: Curvature,
    layout: ColumnLayout,
    config: RecipeConfig,
) -> BinaryWeight:
    # Rows do not interact: a slice of them at a time bounds the memory.
    parts = [
        _code_rows(layout.forward(rows.float() * live), curvature, layout, config)
        for rows in weight.split(max(1, _VALUES // layout.width))
    ]
    return BinaryWeight(layout, *(torch.cat(part) for part in zip(*parts, strict=True)))


def _code_rows(
    target: torch.Tensor, curvature: Curvature, layout: ColumnLayout, config: RecipeConfig
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return signs, levels and row scales of some rows, ``[rows, width]``; they are used up."""
    groups = layout.plain_width // GROUP, layout.salient_width // GROUP
    codes, left = code_with_feedback(target, curvature, [1] * groups[0] + [2] * groups[1])
    for _ in range(config.sweeps):
        codes = sweep(codes, left, curvature)
    codes, levels, row_scale = _round(codes, layout)
    if config.frozen_sign_pass:
        left = target.sub_(codes.values())
        codes = sweep(codes, left, curvature, levels=False)
    return _virtual_signs(codes.choice, layout), levels, row_scale


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


def _error(
    weight: torch.Tensor, code: BinaryWeight, live: torch.Tensor, curvature: Curvature
) -> float:
    """Return ``tr(R H R^T)`` in quantized coordinates."""
    residual = code.layout.forward(weight.float() * live) - code.transformed()
    return float(curvature.error(residual).sum())


def _pays(
    before: tuple[float, Sequence[BinaryWeight]],
    after: tuple[float, Sequence[BinaryWeight]],
    config: RecipeConfig,
) -> bool:
    # A group costs 128 sign bits and two int8 levels per row, padded.
    layouts = before[1][0].layout, after[1][0].layout
    added = layouts[1].virtual_width - layouts[0].virtual_width
    added_bits = added * (GROUP + 16) / GROUP / layouts[1].in_features
    if after[0] <= 0 or before[0] <= 0:
        return after[0] < before[0]
    return math.log(before[0] / after[0]) >= config.min_gain_per_bit * max(added_bits, 1e-9)
