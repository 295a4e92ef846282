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
Token importance S_t from gradients at block outputs.

Theorem 1 of arXiv 2602.13710: to first order a perturbed block changes the loss by
``sum_t <g_t, dz_t>``; by Cauchy-Schwarz the surrogate to minimise weighs ``|dz_t|^2`` with
``S_t = |g_t|`` (the norm, not its square; ``doc/method.md``).
"""

import torch

FLOOR, CAP = 0.05, 20.0  # times the mean: keeps Hc of full rank, and no token alone in charge


def token_norms(gradient: torch.Tensor) -> torch.Tensor:
    """Return ``|g_t|``: ``[..., T, d]`` to ``[..., T]``, float32."""
    norms: torch.Tensor = gradient.detach().float().norm(dim=-1)
    return norms


def normalize_importance(
    scores: torch.Tensor, floor: float = FLOOR, cap: float = CAP
) -> torch.Tensor:
    """
    Scale one sample's importance to mean 1, clip, and scale again.

    :param scores: ``[..., T]`` >= 0 of one sample
    :param floor: smallest allowed value, as a multiple of the mean
    :param cap: largest allowed value, as a multiple of the mean
    :return: same shape, mean 1; all ones where every score is zero
    """
    mean = scores.mean()
    if not mean > 0:
        return torch.ones_like(scores)
    clipped = (scores / mean).clamp(floor, cap)
    normalized: torch.Tensor = clipped / clipped.mean()
    return normalized
