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

"""Scores and the split into salient and other columns."""

from builders import stats_of
from hbvla_ros.binarize.method import MixedHessian
from hbvla_ros.binarize.saliency import budgets, column_scores, split_columns
import pytest
import torch


def test_with_a_diagonal_hessian_the_score_is_weight_times_curvature():
    weights = [torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 0.0]])]
    # H = diag(4, 1), U = diag(1/2, 1): scores 10 / (1/4) and 4 / 1.
    stats = stats_of(torch.tensor([[2.0, 0.0], [0.0, 1.0]]))
    scores = column_scores(weights, MixedHessian(stats, 0.0, 1e-9))
    assert scores.tolist() == pytest.approx([40.0, 4.0])


def test_the_largest_scores_are_salient_and_order_is_kept():
    plain, salient = split_columns(torch.tensor([1.0, 9.0, 3.0, 8.0]), 2)
    assert plain.tolist() == [0, 2]
    assert salient.tolist() == [1, 3]


def test_budgets_are_multiples_of_128_up_to_the_share():
    assert list(budgets(1024, 0.25)) == [0, 128, 256]
    assert list(budgets(100, 0.25)) == [0]
