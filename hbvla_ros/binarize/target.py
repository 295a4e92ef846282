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
The corrected target: code the weight that undoes what earlier layers have already broken.

A layer of a partly quantized model reads perturbed inputs ``x_q`` instead of ``x``. The weight
that maps them best to the full-precision outputs is the least-squares solution
``W + W (X - X_q) D X_q^T (X_q D X_q^T)^-1``; coding it instead of W costs no bits. Known elsewhere
as asymmetric calibration; a step beyond the paper (``doc/method.md``).
"""

from collections.abc import Sequence

from hbvla_ros.binarize.method import damped, FamilyStats
from hbvla_ros.core.errors import CalibrationError
import torch

DAMPENING = 0.01


def corrected_target(
    weights: Sequence[torch.Tensor], stats: FamilyStats, corrected: float, factor: float = 1.0
) -> list[torch.Tensor]:
    """
    Return the weights to code instead of the original ones.

    :param weights: ``[out_i, n]`` each
    :param stats: of a job that ran two streams
    :param corrected: weight of the corrected moments in the mixture, 0..1
    :param factor: share of the correction that is applied; below 1 it overfits less
    :return: as many weights, float32; the same ones where both streams are equal
    :raises CalibrationError: if only one stream was run
    """
    if stats.plain_shift is None or stats.corrected_shift is None:
        raise CalibrationError('a corrected target needs both streams of activations')
    lower, _ = damped((1 - corrected) * stats.plain + corrected * stats.corrected, DAMPENING)
    lower = torch.linalg.cholesky(lower)
    shift = (1 - corrected) * stats.plain_shift + corrected * stats.corrected_shift
    correction = factor * torch.cholesky_solve(shift.double().T, lower).T.float()
    return [weight + weight @ correction for weight in weights]
