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


class Picker:
    """Picks the nearest value of each row of a group, column after column."""

    def __init__(self, levels: torch.Tensor) -> None:
        """
        Prepare for one group.

        :param levels: ``[rows, planes, 2]``, low before high in each plane
        """
        self._low, self._high = levels[..., 0].T.contiguous(), levels[..., 1].T.contiguous()
        self._middle = (self._low + self._high) / 2

    def nearest(self, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Pick the nearest value of each row, the lower one on a tie.

        :param target: ``[rows]``
        :return: ``uint8 [rows]``, bit ``p`` picks ``hi`` in plane ``p``, and the values picked
        """
        if len(self._low) == 1:
            return self._nearest_of_plane(target, 0)
        # The best side of plane 2 for either side of plane 1, then the better of the two.
        low_bit, low = self._nearest_of_plane(target - self._low[0], 1)
        high_bit, high = self._nearest_of_plane(target - self._high[0], 1)
        low, high = low + self._low[0], high + self._high[0]
        upper = (target - high).abs() < (target - low).abs()
        index = torch.where(upper, 2 * high_bit + 1, 2 * low_bit)
        return index, torch.where(upper, high, low)

    def _nearest_of_plane(
        self, target: torch.Tensor, plane: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        upper = target > self._middle[plane]
        return upper.to(torch.uint8), torch.where(upper, self._high[plane], self._low[plane])
