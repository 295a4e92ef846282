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
HBLLM as its public code does it: BiLLM's blocks with the bands of a Haar transform as groups.

``hbllm_row`` pairs neighbouring columns, ``hbllm_col`` neighbouring rows; each row of a band is
split by magnitude into two groups. What that leaves of the salient columns is coded once more,
always over pairs of rows. Source: arXiv 2512.00862; what is peculiar to the public code, and what
is ours: ``doc/method.md``
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from hbvla_ros.binarize.block_codes import (
    BlockCodeConfig,
    BlockCodeMethod,
    check_choices,
    check_ranges,
    ColumnBlock,
    PARAMETER_BITS,
)
from hbvla_ros.binarize.haar import haar, inverse_haar
from hbvla_ros.binarize.two_groups import best_threshold, quantiles, two_group_code
import torch

_HALF_ROOT = 0.70703125  # 1/sqrt(2) in half precision
Coded = tuple[torch.Tensor, Mapping[str, int]]


@dataclass(frozen=True, kw_only=True)
class HbllmConfig(BlockCodeConfig):
    """
    The switches of HBLLM; ``hbllm_col`` has no use for ``window``.

    ``share_mean``: one mean per row of a band, as the paper has it; the public code's default is
    one per group. ``half_inverse``: the inverse transform multiplies by 0.70703125.
    ``group_partition``: ``row`` has a border between small and large entries for each row,
    ``global`` one for a band (the public code then tries 81 quantiles and shares no means).
    """

    column_norm: str = 'l2'
    num_quantiles: int = 41
    window: int = 7  # columns around a salient one whose mean stands in for it
    share_mean: bool = True
    half_inverse: bool = True
    group_partition: str = 'row'

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(self, {'group_partition': ('row', 'global')})
        check_ranges(self, {'window': (1, 255)})


def _code_row(block: ColumnBlock, config: HbllmConfig) -> Coded:
    filled = fill_salient(block.columns, block.salient, config.window)
    base, bits = _code_bands(filled, 1, config, share_mean=config.share_mean)
    return _code_salient(block, base, bits, config)


def _code_col(block: ColumnBlock, config: HbllmConfig) -> Coded:
    base = torch.zeros_like(block.columns)
    plain = block.columns[:, ~block.salient]
    base[:, ~block.salient], bits = _code_bands(plain, 0, config, share_mean=config.share_mean)
    return _code_salient(block, base, bits, config)


def _code_salient(
    block: ColumnBlock, base: torch.Tensor, bits: Mapping[str, int], config: HbllmConfig
) -> Coded:
    """Add a code of what ``base`` leaves of the salient columns."""
    if not block.salient.any():
        return base, bits
    rest = block.columns[:, block.salient] - base[:, block.salient]
    coded, added = _code_bands(rest, 0, config, share_mean=False)
    base[:, block.salient] += coded
    return base, Counter(bits) + Counter(added)


def fill_salient(columns: torch.Tensor, salient: torch.Tensor, window: int) -> torch.Tensor:
    """
    Replace each salient column by the mean of the other columns in a window around it.

    :param columns: ``[rows, c]``
    :param salient: ``bool [c]``, not all True
    :param window: width of the window; where it holds salient columns only, the nearest other one
        on the left stands in, or the first on the right
    :return: ``[rows, c]``
    """
    index = torch.arange(len(salient), device=salient.device)
    near = (index[:, None] - index).abs() <= window // 2
    left = torch.where(salient, -1, index).cummax(dim=0).values
    lone = torch.where(left < 0, (~salient).int().argmax(), left)
    sources = near & ~salient[:, None]  # [from, to]
    sources |= ~sources.any(dim=0) & (index[:, None] == lone)
    share = sources.to(columns.dtype) / sources.sum(dim=0)
    return torch.where(salient, columns @ share, columns)


def _code_bands(x: torch.Tensor, dim: int, config: HbllmConfig, *, share_mean: bool) -> Coded:
    """
    Code ``[rows, c]`` in the Haar bands along ``dim``: 1 pairs columns, 0 pairs rows.

    Without a partner, the last column or row goes into the low band as it is.
    """
    bands = [_turn(band, dim) for band in _to_bands(_turn(x, dim))]
    coded = [_code_band(band, config, share_mean=share_mean) for band in bands]
    scale = _HALF_ROOT / 0.5**0.5 if config.half_inverse else 1.0
    values = _turn(_from_bands([_turn(band, dim) for band in coded], scale), dim)
    numbers = 3 if share_mean else 4  # two scales and the means, for each row of a band
    rows = sum(len(band) for band in bands if band.numel())
    return values, {
        'signs': x.numel(),
        'bitmap': x.numel(),
        'parameters': numbers * rows * PARAMETER_BITS,
    }


def _code_band(band: torch.Tensor, config: HbllmConfig, *, share_mean: bool) -> torch.Tensor:
    if not band.numel():
        return band
    size = band.abs()
    code = partial(
        two_group_code, rms=True, share_mean=share_mean, sign_of_zero=config.sign_of_zero
    )
    compared = size if config.group_partition == 'row' else size.reshape(1, -1)
    borders = quantiles(compared, config.shares(size.device))
    return code(band, size < best_threshold(band, size, borders, code))


def _to_bands(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Split ``[k, L]`` into the low band ``[k, ceil(L / 2)]`` and the high band."""
    paired = x.shape[1] // 2 * 2
    low, high = haar(x[:, :paired]).chunk(2, dim=1)
    return torch.cat([low, x[:, paired:]], dim=1), high


def _from_bands(bands: Sequence[torch.Tensor], scale: float) -> torch.Tensor:
    """Undo :func:`_to_bands`; what had a partner is multiplied by ``scale``."""
    low, high = bands
    half = high.shape[1]
    pairs = inverse_haar(torch.cat([low[:, :half], high], dim=1)) * scale
    return torch.cat([pairs, low[:, half:]], dim=1)


def _turn(x: torch.Tensor, dim: int) -> torch.Tensor:
    return x if dim == 1 else x.T.contiguous()


HBLLM_ROW = BlockCodeMethod(HbllmConfig, _code_row)
HBLLM_COL = BlockCodeMethod(HbllmConfig, _code_col)
