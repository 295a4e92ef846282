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
Streaming second moments of the input of a family of linears.

``plain = 2/N sum x x^T`` and ``corrected = 2/N sum S_t x x^T``, accumulated in float32 (float64 on
request) token by token, freed after use; with a full-precision stream beside, the same sums of
``(x_full - x) x^T``. Source: arXiv 2602.13710.
"""

from hbvla_ros.core.errors import CalibrationError
import torch


class HessianAccumulator:
    """Running sums for one family; memory is two ``n x n`` matrices, four with shifts."""

    def __init__(
        self, in_features: int, dtype: torch.dtype = torch.float32, *, shifted: bool = False
    ) -> None:
        """
        Start at zero.

        :param in_features: n
        :param dtype: of the running sums
        :param shifted: also sum up the shifts to a full-precision stream
        """
        self._plain = torch.zeros(in_features, in_features, dtype=dtype)
        self._corrected = torch.zeros_like(self._plain)
        self._shifts = [torch.zeros_like(self._plain) for _ in range(2)] if shifted else []
        self.tokens = 0

    def update(
        self, x: torch.Tensor, importance: torch.Tensor, full: torch.Tensor | None = None
    ) -> None:
        """
        Add tokens.

        :param x: ``[..., n]``, any float dtype and device
        :param importance: S_t >= 0, one per token (any shape with as many entries)
        :param full: the same tokens in the full-precision stream; needed with ``shifted``
        :raises CalibrationError: if the counts differ or a value is not finite
        """
        rows = x.detach().flatten(0, -2).to(self._plain.dtype).cpu()
        weight = importance.detach().flatten().to(rows)
        if len(weight) != len(rows):
            raise CalibrationError(f'{len(rows)} tokens but {len(weight)} importances')
        if not torch.isfinite(rows).all():
            raise CalibrationError('calibration activations hold values that are not finite')
        self._plain += rows.T @ rows
        self._corrected += rows.T @ (rows * weight[:, None])
        self.tokens += len(rows)
        if self._shifts:
            assert full is not None
            away = full.detach().flatten(0, -2).to(rows) - rows
            self._shifts[0] += away.T @ rows
            self._shifts[1] += away.T @ (rows * weight[:, None])

    def plain(self) -> torch.Tensor:
        """
        Return ``2/N sum x x^T``, ``[n, n]``.

        :raises CalibrationError: before any token was added
        """
        return self._finish(self._plain)

    def corrected(self) -> torch.Tensor:
        """Return ``2/N sum S_t x x^T``, ``[n, n]``; raises like :meth:`plain`."""
        return self._finish(self._corrected)

    def plain_shift(self) -> torch.Tensor | None:
        """Return ``2/N sum (x_full - x) x^T``, or None without a second stream."""
        return self._finish(self._shifts[0]) if self._shifts else None

    def corrected_shift(self) -> torch.Tensor | None:
        """Return ``2/N sum S_t (x_full - x) x^T``, or None without a second stream."""
        return self._finish(self._shifts[1]) if self._shifts else None

    def _finish(self, running: torch.Tensor) -> torch.Tensor:
        if not self.tokens:
            raise CalibrationError('no calibration token reached this layer')
        return running * (2 / self.tokens)
