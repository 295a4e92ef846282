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
BiLLM as its public code does it.

Salient columns are binarized twice; the other weights are split by magnitude into two groups per
block, each with its own mean and scale per row. That takes 3 stored bits per weight whatever the
share of salient columns, because the split needs a bitmap. Source: arXiv 2402.04291; what is
peculiar to the public code: ``doc/method.md``
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from hbvla_ros.binarize.block_codes import (
    BlockCodeConfig,
    BlockCodeMethod,
    ColumnBlock,
    PARAMETER_BITS,
)
from hbvla_ros.binarize.two_groups import (
    best_threshold,
    quantiles,
    residual_code,
    two_group_code,
)
import torch

_PLANES = 2  # of a salient column
_GROUPS = 2  # of the other weights


@dataclass(frozen=True, kw_only=True)
class BillmConfig(BlockCodeConfig):
    """
    The switches of BiLLM.

    ``salient_zeros``: the quantiles that are tried as borders count every salient entry as a zero.
    """

    salient_zeros: bool = True


def _code(block: ColumnBlock, config: BillmConfig) -> tuple[torch.Tensor, Mapping[str, int]]:
    values = torch.empty_like(block.columns)
    plain, salient = block.columns[:, ~block.salient], block.columns[:, block.salient]
    values[:, ~block.salient] = _code_plain(plain, block, config)
    if salient.shape[1]:
        values[:, block.salient] = residual_code(salient, _PLANES, config.sign_of_zero)
    pairs = _GROUPS + (_PLANES if salient.shape[1] else 0)  # each a mean and a scale
    return values, {
        'signs': plain.numel() + _PLANES * salient.numel(),
        'bitmap': plain.numel(),
        'parameters': 2 * pairs * len(values) * PARAMETER_BITS,
    }


def _code_plain(plain: torch.Tensor, block: ColumnBlock, config: BillmConfig) -> torch.Tensor:
    """Code the columns that are not salient, ``[rows, c]``."""
    score = block.score[:, ~block.salient]
    size = score.abs()
    code = partial(two_group_code, rms=False, share_mean=False, sign_of_zero=config.sign_of_zero)
    counted = block.score.abs() * ~block.salient if config.salient_zeros else size
    borders = quantiles(counted.reshape(1, -1), config.shares(size.device))
    searched = score if config.search_on == 'score' else plain
    return code(plain, size < best_threshold(searched, size, borders, code))


BILLM = BlockCodeMethod(BillmConfig, _code)
