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
Fit the levels anew to signs that are given, under the full Hessian.

With the signs of a group fixed, the error is a quadratic in scale(s) and mean of each row and has
one minimum. Source: ``doc/method.md``; a step beyond the paper.
"""

from hbvla_ros.binarize.feedback import columns_of, GroupCodes
import torch

_RIDGE = 1e-6  # of the diagonal: keeps rows whose signs are all equal solvable


def refit(weight: torch.Tensor, hessian: torch.Tensor, codes: GroupCodes) -> GroupCodes:
    """
    Refit mean and scales of every group, one after the other.

    The error ``tr(R H R^T)`` of no row grows, up to the rounding of ``weight``'s dtype. Scales
    that come out negative flip their signs, and the stronger plane is put first.

    :param weight: ``[rows, width]`` in quantized coordinates
    :param hessian: ``[width, width]``, damped
    :param codes: where to start
    """
    h = hessian.to(weight.dtype)
    gradient = (weight - codes.values()) @ h
    choice = codes.choice.clone()
    refitted = []
    for g, levels in enumerate(codes.levels):
        span = columns_of(g)
        basis = _basis(choice[:, span], levels.shape[1]).to(weight.dtype)
        step = _best_step(basis, h[span, span], gradient[:, span])
        rest = slice(span.stop, None)  # each group is visited once
        gradient[:, rest] -= (step[:, None, :] @ basis)[:, 0] @ h[span, rest]
        parameters = _parameters(levels) + step
        new_levels, choice[:, span] = _canonical(parameters, choice[:, span])
        refitted.append(new_levels)
    return GroupCodes(refitted, choice)


def _basis(choice: torch.Tensor, planes: int) -> torch.Tensor:
    """Return the rows that scales and mean multiply: ``[rows, planes + 1, 128]``."""
    signs = [2 * (choice >> plane & 1) - 1 for plane in range(planes)]
    return torch.stack([*signs, torch.ones_like(choice)], dim=1)


def _best_step(basis: torch.Tensor, h: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Return the change of scales and mean that minimises the error: ``[rows, planes + 1]``."""
    curvature = basis @ h @ basis.transpose(1, 2)
    ridge = torch.diag_embed(_RIDGE * curvature.diagonal(dim1=1, dim2=2))
    slope = (basis @ gradient[:, :, None])[:, :, 0]
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
        negative = scales[:, plane, None] < 0
        choice = torch.where(negative, choice ^ (1 << plane), choice)
    scales = scales.abs()
    if planes == 2:
        swap = scales[:, 1] > scales[:, 0]
        swapped = (choice >> 1 & 1) | (choice & 1) << 1
        choice = torch.where(swap[:, None], swapped, choice)
        scales = torch.where(swap[:, None], scales.flip(1), scales)
    middle = torch.zeros_like(scales)
    middle[:, 0] = mean  # the first plane carries the mean
    return torch.stack([middle - scales, middle + scales], dim=-1), choice
