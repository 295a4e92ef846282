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
Column-by-column coding with error feedback, and the final pass over the signs.

The error of a column is passed on to the columns on its right through the Cholesky factor of the
inverse Hessian (GPTQ), which is exact in any orthogonal basis. Source: ``doc/method.md``
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hbvla_ros.binarize.layout import GROUP
from hbvla_ros.binarize.onebit import candidates, fit_one_plane, fit_two_planes, nearest
import torch


@dataclass(frozen=True, eq=False)
class GroupCodes:
    """
    Levels and choices of every group of 128 columns.

    ``levels[g]`` is ``[rows, planes, 2]``; ``choice`` is ``int64 [rows, width]``, bit ``p`` of an
    entry picks ``hi`` in plane ``p``.
    """

    levels: Sequence[torch.Tensor]
    choice: torch.Tensor

    def values(self) -> torch.Tensor:
        """Return the coded weights ``[rows, width]``."""
        groups = [
            candidates(levels).gather(1, self.choice[:, columns_of(g)])
            for g, levels in enumerate(self.levels)
        ]
        return torch.cat(groups, dim=1)


def columns_of(group: int) -> slice:
    """Return the columns of a group."""
    return slice(group * GROUP, (group + 1) * GROUP)


def inverse_factor(hessian: torch.Tensor) -> torch.Tensor:
    """
    Return the upper Cholesky factor U of the inverse: ``H^-1 = U^T U``, in float64.

    :param hessian: ``[n, n]`` symmetric positive definite
    """
    lower = torch.linalg.cholesky(hessian.double())
    upper: torch.Tensor = torch.linalg.cholesky(torch.cholesky_inverse(lower), upper=True)
    return upper


def code_with_feedback(
    weight: torch.Tensor, hessian: torch.Tensor, planes: Sequence[int]
) -> GroupCodes:
    """
    Code all columns, left to right.

    :param weight: ``[rows, width]`` in quantized coordinates; not changed
    :param hessian: ``[width, width]``, damped
    :param planes: 1 or 2 for each group of 128 columns
    """
    factor = inverse_factor(hessian).to(weight.dtype)
    diagonal = hessian.diagonal().to(weight.dtype)
    rest = weight.clone()
    choice = torch.zeros(weight.shape, dtype=torch.int64, device=weight.device)
    levels = []
    for g, count in enumerate(planes):
        a, b = g * GROUP, (g + 1) * GROUP
        fit = fit_one_plane if count == 1 else fit_two_planes
        levels.append(fit(rest[:, a:b], diagonal[a:b]))
        values = candidates(levels[-1])
        error = torch.empty_like(rest[:, a:b])
        for j in range(a, b):
            index = nearest(rest[:, j], values)
            choice[:, j] = index
            e = (rest[:, j] - values.gather(1, index[:, None])[:, 0]) / factor[j, j]
            later = slice(j + 1, b)
            rest[:, later] -= e[:, None] * factor[j, later]
            error[:, j - a] = e
        rest[:, b:] -= error @ factor[a:b, b:]
    return GroupCodes(levels, choice)


def sign_pass(weight: torch.Tensor, hessian: torch.Tensor, codes: GroupCodes) -> GroupCodes:
    """
    Move every sign to its best place, one column after the other, with the levels frozen.

    Each step is the exact minimiser in one coordinate, so the error ``tr(R H R^T)`` of every row
    never grows.

    :param weight: ``[rows, width]``
    :param hessian: ``[width, width]``, damped
    :param codes: where to start
    """
    h = hessian.to(weight.dtype)
    values = codes.values()
    gradient = (weight - values) @ h
    choice = codes.choice.clone()
    for g, levels in enumerate(codes.levels):
        a, b = g * GROUP, (g + 1) * GROUP
        table = candidates(levels)
        local, moved = gradient[:, a:b].clone(), torch.zeros_like(values[:, a:b])
        for j in range(a, b):
            target = values[:, j] + local[:, j - a] / h[j, j]
            index = nearest(target, table)
            step = table.gather(1, index[:, None])[:, 0] - values[:, j]
            local -= step[:, None] * h[j, a:b]
            moved[:, j - a] = step
            choice[:, j] = index
        gradient -= moved @ h[a:b]
    return GroupCodes(codes.levels, choice)
