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
        span = columns_of(g)
        later = slice(span.stop, None)
        fit = fit_one_plane if count == 1 else fit_two_planes
        levels.append(fit(rest[:, span], diagonal[span]))
        # Columns are taken one by one: transposed, each of them is contiguous.
        columns = rest[:, span].T.contiguous()
        index, error = _code_group(columns, factor[span, span], candidates(levels[-1]).T)
        choice[:, span] = index.T
        rest[:, later] -= error.T @ factor[span, later]
    return GroupCodes(levels, choice)


def _code_group(
    columns: torch.Tensor, factor: torch.Tensor, values: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Code one group with feedback inside it.

    :param columns: ``[128, rows]``, changed on the way
    :param factor: ``[128, 128]``, the group's part of U
    :param values: ``[c, rows]``, what each row can take
    :return: index into ``values`` and scaled error, both ``[128, rows]``
    """
    index = torch.empty(columns.shape, dtype=torch.int64, device=columns.device)
    error = torch.empty_like(columns)
    for j, column in enumerate(columns):
        index[j], coded = nearest(column, values)
        error[j] = (column - coded) / factor[j, j]
        later = slice(j + 1, None)
        columns[later].addr_(factor[j, later], error[j], alpha=-1)
    return index, error


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
        span = columns_of(g)
        table, block = candidates(levels).T, h[span, span]
        local = gradient[:, span].T.contiguous()
        before = values[:, span].T.contiguous()
        moved = torch.empty_like(before)
        index = torch.empty(before.shape, dtype=torch.int64, device=before.device)
        for j, column in enumerate(before):
            index[j], coded = nearest(column + local[j] / block[j, j], table)
            moved[j] = coded - column
            later = slice(j + 1, None)
            local[later].addr_(block[j, later], moved[j], alpha=-1)
        choice[:, span] = index.T
        rest = slice(span.stop, None)  # what lies left is not visited again
        gradient[:, rest] -= moved.T @ h[span, rest]
    return GroupCodes(codes.levels, choice)
