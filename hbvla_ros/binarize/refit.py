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
Sweeps under the full Hessian: fit the levels of a group anew, then move its signs; group by group.

With the signs of a group fixed the error is a quadratic in scale(s) and mean of each row and has
one minimum; with the levels fixed each sign has a best side. Either step is exact, so the error
``tr(R H R^T)`` of no row ever grows. Source: ``doc/method.md``; a step beyond the paper.
"""

from hbvla_ros.binarize.curvature import Curvature
from hbvla_ros.binarize.feedback import code_columns, columns_of, GroupCodes
from hbvla_ros.binarize.onebit import Picker
import torch

_RIDGE = 1e-6  # of the diagonal: keeps rows whose signs are all equal solvable


def sweep(
    codes: GroupCodes,
    residual: torch.Tensor,
    curvature: Curvature,
    *,
    levels: bool = True,
    signs: bool = True,
) -> GroupCodes:
    """
    Go once through all groups.

    :param codes: where to start
    :param residual: ``weight - codes.values()``, ``[rows, width]``; kept so in place
    :param curvature: of the input
    :param levels: refit them; scales that come out negative flip their signs, and the stronger
        plane is put first
    :param signs: move each to its best side
    :return: the new codes
    """
    choice = codes.choice.clone()
    fitted = list(codes.levels)
    for g, table in enumerate(fitted):
        span = columns_of(g)
        pull, block = curvature.product(residual, span), curvature.block(span)
        values = codes.group_values(g)
        if levels:
            target = residual[:, span] + values
            table, choice[:, span] = _refit(table, choice[:, span], pull, block)
            values = GroupCodes([table], choice[:, span]).group_values(0)
            moved = target - values - residual[:, span]
            residual[:, span] += moved
            pull += moved @ block
            fitted[g] = table
        if signs:
            diagonal = curvature.diagonal[span]
            choice[:, span], moved = code_columns(values, pull, block, diagonal, Picker(table))
            residual[:, span] += moved
    return GroupCodes(fitted, choice)


def _refit(
    levels: torch.Tensor, choice: torch.Tensor, pull: torch.Tensor, block: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the best levels for the signs of one group, with the signs in canonical form."""
    planes = levels.shape[1]
    basis = torch.stack([_signs(choice, plane, block) for plane in range(planes)], dim=1)
    step = _best_step(basis, block, pull)
    return _canonical(_parameters(levels) + step, choice)


def _signs(choice: torch.Tensor, plane: int, like: torch.Tensor) -> torch.Tensor:
    return 2 * (choice >> plane & 1).to(like.dtype) - 1


def _best_step(basis: torch.Tensor, block: torch.Tensor, pull: torch.Tensor) -> torch.Tensor:
    """
    Return the change of scales and mean that minimises the error: ``[rows, planes + 1]``.

    :param basis: ``[rows, planes, 128]``, what the scales multiply; the mean multiplies ones
    """
    basis = torch.cat([basis, torch.ones_like(basis[:, :1])], dim=1)
    curvature = (basis @ block) @ basis.transpose(1, 2)
    ridge = torch.diag_embed(_RIDGE * curvature.diagonal(dim1=1, dim2=2))
    slope = (basis @ pull[:, :, None])[:, :, 0]
    step: torch.Tensor = torch.linalg.solve(curvature + ridge, slope)
    return step


def _parameters(levels: torch.Tensor) -> torch.Tensor:
    """Return scales and mean of levels ``[rows, planes, 2]``: ``[rows, planes + 1]``."""
    scales = (levels[..., 1] - levels[..., 0]) / 2
    mean = levels.mean(dim=-1).sum(dim=-1, keepdim=True)
    return torch.cat([scales, mean], dim=1)


def _canonical(
    parameters: torch.Tensor, choice: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    scales, mean = parameters[:, :-1], parameters[:, -1]
    planes = scales.shape[1]
    for plane in range(planes):
        choice = choice ^ (scales[:, plane, None] < 0).to(choice.dtype) << plane
    scales = scales.abs()
    if planes == 2:
        swap = scales[:, 1] > scales[:, 0]
        swapped = (choice >> 1 & 1) | (choice & 1) << 1
        choice = torch.where(swap[:, None], swapped, choice)
        scales = torch.where(swap[:, None], scales.flip(1), scales)
    middle = torch.zeros_like(scales)
    middle[:, 0] = mean  # the first plane carries the mean
    return torch.stack([middle - scales, middle + scales], dim=-1), choice
