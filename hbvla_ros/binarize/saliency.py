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
Which columns matter for the action, and how many of them are worth a second plane.

Source: arXiv 2602.13710, salient weights from the corrected Hessian; the score is that of BiLLM
(``w^2 / [H^-1]_jj`` through the Cholesky factor). The budget rule is ours (``doc/method.md``).
"""

from collections.abc import Iterator, Sequence

from hbvla_ros.binarize.curvature import Curvature, rotate
from hbvla_ros.binarize.layout import ColumnLayout, GROUP
from hbvla_ros.binarize.method import MixedHessian
import torch


def column_scores(weights: Sequence[torch.Tensor], hessian: MixedHessian) -> torch.Tensor:
    """
    Score each input column: ``sum_i W_ij^2 / U_jj^2`` over all rows of a family.

    :param weights: ``[out_i, n]`` each
    :param hessian: of their common input
    :return: ``float64 [n]``, larger = more salient
    """
    layout = ColumnLayout(weights[0].shape[1])
    pivots = Curvature(rotate(hessian.rows, layout, hessian.added)).pivots  # 1 / U_jj
    energy = sum(weight.double().square().sum(dim=0) for weight in weights)
    return energy * pivots[: layout.in_features].double().square()


def split_columns(scores: torch.Tensor, num_salient: int) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Split the columns by score.

    :param scores: ``[n]``
    :param num_salient: how many are salient
    :return: indices of the non-salient and of the salient columns, both ascending
    """
    order = torch.argsort(scores, descending=True, stable=True)
    return order[num_salient:].sort().values, order[:num_salient].sort().values


def budgets(in_features: int, max_share: float) -> Iterator[int]:
    """
    Yield the salient counts worth trying: multiples of 128, because segments are padded to that.

    :param in_features: n
    :param max_share: largest share of columns that may be salient, 0..1
    """
    count = 0
    while count <= in_features * max_share and count < in_features:
        yield count
        count += GROUP
