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
Codes of the public baselines: residual binarization, and two magnitude groups per row.

A sign per entry picks ``mean - scale`` or ``mean + scale``; both numbers belong to a row (of one
magnitude group). Sources: BiLLM (arXiv 2402.04291), HBLLM (arXiv 2512.00862) and their public
code, restated in our own words.
"""

from collections.abc import Callable

import torch


def residual_code(x: torch.Tensor, order: int, sign_of_zero: int) -> torch.Tensor:
    """
    Binarize each row, then what is left of it, ``order`` times in all.

    :param x: ``[rows, c]``
    :param order: number of planes that are added
    :param sign_of_zero: 0 leaves an entry that equals its mean there, 1 counts it as positive
    :return: the sum of the planes, ``[rows, c]``; scales are mean absolute distances
    """
    rest, planes = x, []
    for _ in range(order):
        mean = rest.mean(dim=1, keepdim=True)
        centred = rest - mean
        scale = centred.abs().mean(dim=1, keepdim=True)
        planes.append(mean + scale * _sign(centred, sign_of_zero))
        rest = rest - planes[-1]
    return sum(planes[1:], planes[0])


def two_group_code(
    x: torch.Tensor,
    small: torch.Tensor,
    *,
    rms: bool,
    share_mean: bool,
    sign_of_zero: int,
) -> torch.Tensor:
    """
    Binarize each row with a scale for its small and one for its large entries.

    :param x: ``[rows, c]``
    :param small: ``bool [rows, c]``, which of the two groups an entry belongs to
    :param rms: scales are root mean squares, otherwise mean absolute distances
    :param share_mean: one mean per row, otherwise one per row and group
    :param sign_of_zero: as in :func:`residual_code`
    :return: ``[rows, c]``
    """
    groups = [group.to(x.dtype) for group in (small, ~small)]
    counts = [group.sum(dim=1, keepdim=True).clamp_min(1) for group in groups]

    def averages(values: torch.Tensor) -> torch.Tensor:
        # Summed apart: a difference of sums would leave noise where a group has one entry.
        first, second = (
            (values * group).sum(dim=1, keepdim=True) / count
            for group, count in zip(groups, counts, strict=True)
        )
        return torch.where(small, first, second)

    mean = x.mean(dim=1, keepdim=True) if share_mean else averages(x)
    centred = x - mean
    scale = averages(centred.square()).sqrt() if rms else averages(centred.abs())
    return mean + scale * _sign(centred, sign_of_zero)


def quantiles(values: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """
    Return quantiles of each row, interpolated linearly; rows may be longer than torch's own limit.

    :param values: ``[rows, c]``
    :param shares: ``float32 [q]``, 0..1
    :return: ``[q, rows]``
    """
    ordered = values.sort(dim=1).values
    position = (shares * (values.shape[1] - 1)).clamp_max(values.shape[1] - 1)
    below, above = position.floor().long(), position.ceil().long()
    return torch.lerp(ordered[:, below], ordered[:, above], position - below).T


def best_threshold(
    x: torch.Tensor,
    size: torch.Tensor,
    thresholds: torch.Tensor,
    code: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """
    Find the border between small and large entries with the smallest square error.

    :param x: ``[rows, c]``, what is coded
    :param size: ``[rows, c]``, what is compared with the border
    :param thresholds: ``[tried, rows]``, or ``[tried, 1]`` for one border for all rows
    :param code: codes ``x`` given which entries are small
    :return: ``[rows, 1]`` or ``[1, 1]``; the first of equally good ones
    """
    errors = torch.stack(
        [(x - code(x, size < border[:, None])).square().sum(dim=1) for border in thresholds]
    )
    if thresholds.shape[1] == 1:
        errors = errors.sum(dim=1, keepdim=True, dtype=torch.float64)
    return thresholds.gather(0, errors.argmin(dim=0, keepdim=True)).T


def _sign(x: torch.Tensor, of_zero: int) -> torch.Tensor:
    return torch.where(x < 0, -1.0, 1.0).to(x.dtype) if of_zero else x.sign()
