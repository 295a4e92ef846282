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
Codes of a matrix in groups of 128 columns, and the coding from left to right with error feedback.

Each column is coded where the error that the columns before it have left is smallest (GPTQ in the
form of :class:`hbvla_ros.binarize.curvature.Curvature`), which is exact in any orthogonal basis.
Source: ``doc/method.md``
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hbvla_ros.binarize.curvature import Curvature
from hbvla_ros.binarize.layout import GROUP
from hbvla_ros.binarize.onebit import candidates, fit_one_plane, fit_two_planes, Picker
import torch

_STEP = 16  # columns whose couplings are applied one by one; the rest as one product


@dataclass(frozen=True, eq=False)
class GroupCodes:
    """
    Levels and choices of every group of 128 columns.

    ``levels[g]`` is ``[rows, planes, 2]``, low before high and the stronger plane first.
    ``choice`` is ``uint8 [rows, width]``, bit ``p`` of an entry picks ``hi`` in plane ``p``.
    """

    levels: Sequence[torch.Tensor]
    choice: torch.Tensor

    def group_values(self, group: int) -> torch.Tensor:
        """Return the coded weights of one group, ``[rows, 128]``."""
        index = self.choice[:, columns_of(group)].long()
        return candidates(self.levels[group]).gather(1, index)

    def values(self) -> torch.Tensor:
        """Return the coded weights ``[rows, width]``."""
        return torch.cat([self.group_values(g) for g in range(len(self.levels))], dim=1)


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
    weight: torch.Tensor, curvature: Curvature, planes: Sequence[int]
) -> tuple[GroupCodes, torch.Tensor]:
    """
    Code all columns, left to right.

    :param weight: ``[rows, width]`` in quantized coordinates; not changed
    :param curvature: of the input
    :param planes: 1 or 2 for each group of 128 columns
    :return: the codes and what they leave, ``weight - values``
    """
    residual = weight.clone()
    choice = torch.empty(weight.shape, dtype=torch.uint8, device=weight.device)
    levels = []
    for g, count in enumerate(planes):
        span = columns_of(g)
        pull, factor = curvature.pull(residual, span), curvature.factor_block(span)
        fit = fit_one_plane if count == 1 else fit_two_planes
        # the group as feedback from the left would have it if all of it could be met
        wanted = weight[:, span] + torch.linalg.solve_triangular(
            factor, pull, upper=True, left=False
        )
        levels.append(fit(wanted, curvature.diagonal[span]))
        choice[:, span], left = code_columns(
            weight[:, span], pull, factor, curvature.pivots[span], Picker(levels[-1])
        )
        residual[:, span] = left
    return GroupCodes(levels, choice), residual


def code_columns(
    base: torch.Tensor,
    pull: torch.Tensor,
    coupling: torch.Tensor,
    diagonal: torch.Tensor,
    picker: Picker,
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Code columns one after the other, each at ``base + pull / diagonal``.

    What a column misses of ``base`` pulls at the columns on its right by ``coupling``.

    :param base: ``[rows, g]``
    :param pull: ``[rows, g]``, from outside
    :param coupling: ``[g, g]``; only the part right of the diagonal is used
    :param diagonal: ``[g]`` positive
    :param picker: what each row can take
    :return: choices ``uint8 [rows, g]`` and ``base`` minus what was chosen, ``[rows, g]``
    """
    # Transposed, the column that is coded is contiguous.
    base, pull = base.T.contiguous(), pull.T.contiguous()
    left = torch.empty_like(base)
    choice = torch.empty(base.shape, dtype=torch.uint8, device=base.device)
    inverse = diagonal.reciprocal().tolist()
    for start in range(0, len(base), _STEP):
        stop = min(start + _STEP, len(base))
        for j in range(start, stop):
            choice[j], coded = picker.nearest(torch.add(base[j], pull[j], alpha=inverse[j]))
            torch.sub(base[j], coded, out=left[j])
            near = slice(j + 1, stop)
            pull[near].addr_(coupling[j, near], left[j])
        done, later = slice(start, stop), slice(stop, None)
        pull[later].addmm_(coupling[done, later].T, left[done])
    return choice.T, left.T
