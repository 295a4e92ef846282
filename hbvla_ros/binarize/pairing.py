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
The sparse orthogonal transform P, read as a permutation that puts similar columns side by side.

Pairing maximises the sum of inner products of neighbours, which moves energy into the low band of
the Haar transform. Source: arXiv 2602.13710 (sparse orthogonal transform before the Haar
transform); the greedy matching is ours (``doc/method.md``).
"""

import torch

PARTNERS = 32  # best partners looked at per column; n^2 / 2 pairs are too many at n = 11008


def greedy_pair(columns: torch.Tensor) -> torch.Tensor:
    """
    Order columns so that positions 2i and 2i + 1 hold similar ones.

    :param columns: ``[rows, n]``
    :return: ``int64 [n]``, a permutation; columns that found no partner come last, ascending
    """
    n = columns.shape[1]
    if n < 2:
        return torch.arange(n)
    gram = columns.T.float() @ columns.float()
    gram.fill_diagonal_(-torch.inf)
    best = torch.topk(gram, min(PARTNERS, n - 1), dim=1)
    left = torch.arange(n, device=gram.device)[:, None].expand_as(best.indices).flatten()
    right, score = best.indices.flatten(), best.values.flatten()
    order = torch.argsort(score, descending=True, stable=True)
    free = [True] * n
    paired: list[int] = []
    for i, j in zip(left[order].tolist(), right[order].tolist(), strict=True):
        if free[i] and free[j]:
            free[i] = free[j] = False
            paired += [min(i, j), max(i, j)]
    paired += [i for i in range(n) if free[i]]
    return torch.tensor(paired)
