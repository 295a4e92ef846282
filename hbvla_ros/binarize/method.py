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
What a binarization method is: statistics and weights of a family in, level-format weights out.

A family is the set of linears that read the same input; they share permutation, transform and
salient columns. Adding a method is one file and one line in ``METHODS``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Protocol

from hbvla_ros.core.errors import CalibrationError, ConfigError
from hbvla_ros.core.registry import Registry
import torch


@dataclass(frozen=True, eq=False)
class FamilyStats:
    """
    Second moments of the input of a family, both ``float32 [n, n]``.

    ``plain`` is ``2/N sum x x^T``; ``corrected`` weighs each token by its importance S_t. The
    shifts, ``2/N sum (x_full - x) x^T``, exist where a full-precision stream ran beside.
    """

    plain: torch.Tensor
    corrected: torch.Tensor
    plain_shift: torch.Tensor | None = None
    corrected_shift: torch.Tensor | None = None


class QuantizedWeight(Protocol):
    """What every method returns for one linear."""

    @property
    def out_features(self) -> int:
        """Return the number of rows."""

    @property
    def in_features(self) -> int:
        """Return the number of columns."""

    @property
    def bits_sign(self) -> float:
        """Return the sign bits per weight, the number that papers quote."""

    def dequantize(self) -> torch.Tensor:
        """Return the weight that a dense linear would use: ``float32 [out, in_features]``."""


class Method(Protocol):
    """One way to binarize a family."""

    @property
    def config_type(self) -> type:
        """Return the frozen dataclass of its switches."""

    @property
    def target(self) -> str:
        """Return what it codes unless the job says otherwise: ``plain`` or ``corrected``."""

    @property
    def on_grid(self) -> bool:
        """Return True if it gives ``BinaryWeight``, which can be packed; otherwise it is dense."""

    def quantize(
        self, weights: Sequence[torch.Tensor], stats: FamilyStats, config: Any
    ) -> Sequence[QuantizedWeight]:
        """
        Quantize the linears of one family.

        :param weights: ``[out_i, n]`` each, float32
        :param stats: statistics of their common input
        :param config: an instance of ``config_type``
        """


METHODS: Registry[Method] = Registry(
    'method',
    {
        'rtn': 'hbvla_ros.binarize.methods.rtn:RTN',
        'hbvla': 'hbvla_ros.binarize.methods.hbvla:HBVLA',
        'hbvla_plus': 'hbvla_ros.binarize.methods.hbvla_plus:HBVLA_PLUS',
        'two_plane': 'hbvla_ros.binarize.methods.two_plane:TWO_PLANE',
        'billm': 'hbvla_ros.binarize.methods.billm:BILLM',
        'hbllm_row': 'hbvla_ros.binarize.methods.hbllm:HBLLM_ROW',
        'hbllm_col': 'hbvla_ros.binarize.methods.hbllm:HBLLM_COL',
    },
)


def make_config(method: Method, settings: dict[str, Any]) -> Any:
    """
    Build a method's configuration from plain values.

    :raises ConfigError: for an unknown setting; the message lists the known ones
    """
    assert is_dataclass(method.config_type)
    known = [field.name for field in fields(method.config_type)]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ConfigError(f'unknown method settings {unknown}; known: {known}')
    return method.config_type(**settings)


class MixedHessian:
    """``(1 - c) H + c Hc`` of a family, its damping, and which columns are ever active."""

    def __init__(self, stats: FamilyStats, corrected: float, dampening: float) -> None:
        """
        Mix both moments; nothing of their size is allocated.

        :param stats: of the family
        :param corrected: weight of the corrected moments, 0..1
        :param dampening: share of the mean diagonal that is added to the diagonal
        :raises CalibrationError: if the input was zero or not finite throughout
        """
        self._stats, self._corrected = stats, corrected
        diagonal = torch.lerp(stats.plain.diagonal(), stats.corrected.diagonal(), corrected)
        self.live = diagonal > 0
        self.added = _damping(diagonal, dampening)

    def rows(self, index: slice | torch.Tensor) -> torch.Tensor:
        """Return some rows, without damping."""
        return torch.lerp(self._stats.plain[index], self._stats.corrected[index], self._corrected)


def damped(hessian: torch.Tensor, dampening: float) -> tuple[torch.Tensor, float]:
    """
    Add a share of the mean diagonal to the diagonal.

    :param hessian: ``[n, n]``
    :param dampening: share of the mean diagonal, for example 0.01
    :return: the damped matrix in float64 and the value that was added
    :raises CalibrationError: if the input was zero or not finite throughout
    """
    added = _damping(hessian.diagonal(), dampening)
    result = hessian.to(torch.float64, copy=True)
    result.diagonal().add_(added)
    return result, added


def _damping(diagonal: torch.Tensor, dampening: float) -> float:
    added = dampening * float(diagonal.double().mean())
    if not 0 < added < float('inf'):
        raise CalibrationError(
            f'the calibration activations have mean square {added / dampening / 2:g}; '
            'expected finite values that are not all zero'
        )
    return added


def output_error(weight: torch.Tensor, quantized: torch.Tensor, hessian: torch.Tensor) -> float:
    """
    Relative output error ``tr(R H R^T) / tr(W H W^T)`` under the undamped Hessian.

    :param weight: ``[out, n]``
    :param quantized: ``[out, n]``
    :param hessian: ``[n, n]``
    :return: 0 for a perfect code, 1 for all zeros
    """
    h = hessian.double()
    residual, w = (weight - quantized).double(), weight.double()
    energy = float(((w @ h) * w).sum())
    return float(((residual @ h) * residual).sum()) / energy if energy > 0 else 0.0
