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
What the public baselines share: whole blocks of 128 columns coded at once, with error feedback.

A block here is a run of columns. In each, a search chooses the salient columns, the method codes
all columns, and the error is passed on to the columns on the right. Every peculiarity of the
public code is a switch whose default is what that code does; they are listed in ``doc/method.md``.
Sources: BiLLM (arXiv 2402.04291), HBLLM (arXiv 2512.00862) and their public code, restated in our
own words.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hbvla_ros.binarize.dense_weight import DenseWeight
from hbvla_ros.binarize.feedback import inverse_factor
from hbvla_ros.binarize.layout import GROUP
from hbvla_ros.binarize.method import damped, FamilyStats
from hbvla_ros.binarize.two_groups import residual_code
from hbvla_ros.core.errors import CalibrationError, ConfigError
import torch

PARAMETER_BITS = 16  # scales and means are stored in half precision


@dataclass(frozen=True, kw_only=True)
class BlockCodeConfig:
    """
    The switches that the baselines share; the defaults are the public code's.

    ``feedback``: ``block`` divides the error of a block by the diagonal of U as if updates had
    been applied inside the block, ``exact`` solves for the best update, ``none`` passes nothing
    on. ``salient_metric``: ``hessian`` scores a weight by ``w^2 / U_jj^2``, ``magnitude`` by
    itself. ``search_on``: the searches minimise the error of the coded ``score`` or ``weight``.
    ``sign_of_zero``: 0 codes an entry that equals its mean as that mean, a third value that no
    counted bit can name; 1 counts it as positive.
    """

    corrected: float = 0.0  # weight of the corrected Hessian in the mixture; the papers have none
    dampening: float = 0.01
    feedback: str = 'block'
    salient_metric: str = 'hessian'
    column_norm: str = 'l1'  # of the scores of a column
    search_on: str = 'score'
    min_salient: int = 1  # per block; the public search never tries 0
    salient_limit: int = 49
    num_quantiles: int = 81  # borders that are tried between small and large entries
    first_quantile: float = 0.1
    last_quantile: float = 0.9
    sign_of_zero: int = 0

    def __post_init__(self) -> None:
        check_choices(self, _CHOICES)
        check_ranges(self, _RANGES)
        if self.dampening == 0:
            raise ConfigError('dampening must be positive, got 0')

    def shares(self, device: torch.device) -> torch.Tensor:
        """Return the shares of entries below the borders that are tried, ``float32 [q]``."""
        return torch.linspace(
            self.first_quantile, self.last_quantile, self.num_quantiles, device=device
        )


_CHOICES: Mapping[str, Sequence[object]] = {
    'feedback': ('block', 'exact', 'none'),
    'salient_metric': ('hessian', 'magnitude'),
    'column_norm': ('l1', 'l2'),
    'search_on': ('score', 'weight'),
    'sign_of_zero': (0, 1),
}
_RANGES: Mapping[str, tuple[float, float]] = {
    'corrected': (0, 1),
    'dampening': (0, 100),
    'min_salient': (0, GROUP - 1),
    'salient_limit': (0, GROUP - 1),
    'num_quantiles': (1, 1000),
    'first_quantile': (0, 1),
    'last_quantile': (0, 1),
}


def check_choices(config: object, choices: Mapping[str, Sequence[object]]) -> None:
    """
    Check the settings that have a list of values.

    :raises ConfigError: naming the setting and what it may be
    """
    for name, known in choices.items():
        if getattr(config, name) not in known:
            raise ConfigError(f'{name} must be one of {known}, got {getattr(config, name)!r}')


def check_ranges(config: object, ranges: Mapping[str, tuple[float, float]]) -> None:
    """
    Check the settings that are numbers.

    :raises ConfigError: naming the setting and its range
    """
    for name, (least, most) in ranges.items():
        if not least <= getattr(config, name) <= most:
            raise ConfigError(f'{name} must be in {least}..{most}, got {getattr(config, name)}')


@dataclass(frozen=True, eq=False)
class ColumnBlock:
    """
    The columns that are coded together, as feedback from the left has left them.

    ``columns`` and ``score`` are ``float32 [rows, c]`` with c at most 128, ``salient`` is
    ``bool [c]``.
    """

    columns: torch.Tensor
    score: torch.Tensor
    salient: torch.Tensor


Coder = Callable[[ColumnBlock, Any], tuple[torch.Tensor, Mapping[str, int]]]


@dataclass(frozen=True)
class BlockCodeMethod:
    """
    A method that codes block after block.

    ``code`` returns the coded columns ``[rows, c]`` and how many bits each part of the code takes.
    """

    config_type: type[BlockCodeConfig]
    code: Coder
    target = 'plain'
    on_grid = False

    def quantize(
        self, weights: Sequence[torch.Tensor], stats: FamilyStats, config: BlockCodeConfig
    ) -> list[DenseWeight]:
        """
        Quantize the linears of a family, each for itself.

        :param weights: ``[out_i, n]`` each; not changed
        :param stats: statistics of their common input
        :param config: the switches
        :raises CalibrationError: if the input was zero or not finite throughout
        """
        factor, live = _factor(stats, config)
        return [self._quantize(weight.float() * live, factor, config) for weight in weights]

    def _quantize(
        self, rest: torch.Tensor, factor: torch.Tensor, config: BlockCodeConfig
    ) -> DenseWeight:
        bits: Counter[str] = Counter()
        num_salient = 0
        for span in _spans(rest.shape[1]):
            block = _block(rest[:, span].clone(), factor[span, span].diagonal(), config)
            rest[:, span], used = self.code(block, config)
            bits.update(used)
            bits['salient_mask'] += block.salient.numel()
            num_salient += int(block.salient.sum())
            if config.feedback != 'none':
                later = slice(span.stop, None)
                error = block.columns - rest[:, span]
                rest[:, later] -= _scaled(error, factor[span, span], config) @ factor[span, later]
        return DenseWeight(rest, dict(bits), num_salient)


def salient_columns(
    score: torch.Tensor, columns: torch.Tensor, config: BlockCodeConfig
) -> torch.Tensor:
    """
    Choose the salient columns of a block: the number that binarizes both parts best, twice each.

    :param score: ``[rows, c]``, ranks the columns
    :param columns: ``[rows, c]``, the weights
    :param config: at most ``salient_limit``, at most all but one column are taken
    :return: ``bool [c]``
    """
    norm = score.norm(p=1 if config.column_norm == 'l1' else 2, dim=0)
    order = norm.argsort(descending=True, stable=True)
    ranked = (score if config.search_on == 'score' else columns)[:, order]
    most = min(config.salient_limit, len(order) - 1)
    counts = range(config.min_salient, most + 1) or range(1)  # a block may be too narrow
    errors = [_split_error(ranked, count, config.sign_of_zero) for count in counts]
    salient = torch.zeros(len(order), dtype=torch.bool, device=score.device)
    count = counts[int(torch.stack(errors).argmin())]
    salient[order[:count]] = True
    return salient


def _split_error(ranked: torch.Tensor, count: int, sign_of_zero: int) -> torch.Tensor:
    parts = [part for part in ranked.tensor_split([count], dim=1) if part.shape[1]]
    errors = [
        (part - residual_code(part, 2, sign_of_zero)).square().sum(dtype=torch.float64)
        for part in parts
    ]
    return torch.stack(errors).sum()


def _block(columns: torch.Tensor, pivots: torch.Tensor, config: BlockCodeConfig) -> ColumnBlock:
    hessian = config.salient_metric == 'hessian'
    score = columns.square() / pivots.square() if hessian else columns
    return ColumnBlock(columns, score, salient_columns(score, columns, config))


def _spans(width: int) -> Iterator[slice]:
    return (slice(at, min(at + GROUP, width)) for at in range(0, width, GROUP))


def _factor(stats: FamilyStats, config: BlockCodeConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """Return U with ``H^-1 = U^T U``, ``float32 [n, n]``, and which columns are ever active."""
    hessian = torch.lerp(stats.plain, stats.corrected, config.corrected)
    live = hessian.diagonal() > 0
    if live.any():
        hessian.diagonal().masked_fill_(~live, 1.0)
    try:
        return inverse_factor(damped(hessian, config.dampening)[0]).float(), live
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise CalibrationError(
            'the damped Hessian is not positive definite; check the calibration activations or '
            'raise the dampening'
        ) from error


def _scaled(error: torch.Tensor, factor: torch.Tensor, config: BlockCodeConfig) -> torch.Tensor:
    """Return what U turns into the update of later columns: ``[rows, c]``, given U ``[c, c]``."""
    if config.feedback == 'block':
        return error / factor.diagonal()
    exact: torch.Tensor = torch.linalg.solve_triangular(factor, error, upper=True, left=False)
    return exact
