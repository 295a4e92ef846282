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
Codes of one group of columns: two levels per row, or two planes of two levels that are added.

The scales minimise the error weighted by the diagonal of the Hessian. Source: ``doc/method.md``
(arXiv 2602.13710 gives group-wise one-bit codes; the weighting and the Lloyd steps are ours).
"""

import torch

LLOYD_STEPS = 6


def fit_one_plane(columns: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """
    Fit the two levels of each row.

    :param columns: ``[rows, g]`` values to code
    :param weight: ``[g]`` positive weights of the columns (diagonal of the Hessian)
    :return: ``[rows, 1, 2]``: (mean - scale, mean + scale)
    """
    share = weight / weight.sum()
    mean = columns @ share
    scale = (columns - mean[:, None]).abs() @ share
    return torch.stack([mean - scale, mean + scale], dim=-1)[:, None]


def fit_two_planes(columns: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """
    Fit two planes whose sum codes each row: residual binarization, then Lloyd steps.

    :param columns: ``[rows, g]``
    :param weight: ``[g]`` positive
    :return: ``[rows, 2, 2]``: plane 1 is (mean - a1, mean + a1), plane 2 is (-a2, +a2), a1 >= a2
    """
    share = weight / weight.sum()
    mean = columns @ share
    y = columns - mean[:, None]
    first = y.abs() @ share
    second = (y.abs() - first[:, None]).abs() @ share
    for _ in range(LLOYD_STEPS):
        b1 = torch.where(y < 0, -1.0, 1.0).to(y.dtype)
        b2 = torch.where(y.abs() >= first[:, None], b1, -b1)
        cross = (b1 * b2) @ share
        t1, t2 = (b1 * y) @ share, (b2 * y) @ share
        det = (1 - cross**2).clamp_min(1e-6)
        first, second = (t1 - cross * t2) / det, ((t2 - cross * t1) / det).clamp_min(0)
        first, second = torch.maximum(first, second), torch.minimum(first, second)
    low = torch.stack([mean - first, -second], dim=-1)
    high = torch.stack([mean + first, second], dim=-1)
    return torch.stack([low, high], dim=-1)


def candidates(levels: torch.Tensor) -> torch.Tensor:
    """
    List the values that a group can take.

    :param levels: ``[rows, planes, 2]``
    :return: ``[rows, 2**planes]``; index ``i`` uses bit ``p`` of ``i`` for plane ``p``
    """
    if levels.shape[1] == 1:
        return levels[:, 0]
    first, second = levels[:, 0], levels[:, 1]
    return (second[:, :, None] + first[:, None, :]).flatten(1)


def nearest(target: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Pick the nearest value of each row.

    :param target: ``[rows]``
    :param values: ``[c, rows]``
    :return: ``int64 [rows]``, the first index on a tie, and the values picked
    """
    if len(values) == 2:  # the common case, several times faster
        low, high = values
        second = (target - high).abs() < (target - low).abs()
        return second.long(), torch.where(second, high, low)
    index = (target - values).abs().argmin(dim=0)
    return index, values.gather(0, index[None])[0]
