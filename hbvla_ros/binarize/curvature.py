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
A Hessian and its factor in the memory of one matrix, and what coding asks of them.

With ``H = M M^T`` and M upper triangular, the error of a row is ``|R M|^2`` and column ``j`` of
``R M`` depends on columns ``0..j`` only: coding from left to right meets exactly the error that is
left to be met. ``M^-1`` is the factor U of the inverse that GPTQ uses (``H^-1 = U^T U``); no
inverse is formed. Source: ``doc/method.md``
"""

from collections.abc import Callable

from hbvla_ros.binarize.layout import ColumnLayout, GROUP
from hbvla_ros.core.errors import CalibrationError
import torch

_PANEL = 128  # columns factored at a time
_INNER = 512  # columns of the factor that are in float64 at a time
Rows = Callable[[slice | torch.Tensor], torch.Tensor]


class Curvature:
    """
    A damped Hessian ``[width, width]`` in quantized coordinates.

    Of one square matrix the lower triangle holds H and the strictly upper one M; the diagonal of M
    stands apart.
    """

    def __init__(self, matrix: torch.Tensor) -> None:
        """
        Factor a Hessian in place.

        :param matrix: ``[width, width]``, symmetric and damped; overwritten
        :raises CalibrationError: if it is not positive definite
        """
        self._matrix = matrix
        self.diagonal = matrix.diagonal().clone()
        self.pivots = _factor(matrix)
        matrix.diagonal().copy_(self.diagonal)

    @property
    def width(self) -> int:
        """Return the number of columns."""
        return len(self._matrix)

    def block(self, span: slice) -> torch.Tensor:
        """Return the diagonal block of H at some columns."""
        lower = self._matrix[span, span].tril()
        return lower + lower.tril(-1).T

    def factor_block(self, span: slice) -> torch.Tensor:
        """Return the diagonal block of M at some columns, upper triangular."""
        return self._matrix[span, span].triu(1) + torch.diag(self.pivots[span])

    def pull(self, residual: torch.Tensor, span: slice) -> torch.Tensor:
        """
        Return what the columns left of ``span`` add to it in ``R M``: ``[rows, len(span)]``.

        :param residual: R, ``[rows, width]``; columns from ``span`` on are not read
        """
        before = slice(span.start)
        return residual[:, before] @ self._matrix[before, span]

    def product(self, residual: torch.Tensor, span: slice) -> torch.Tensor:
        """Return ``(R H)`` at some columns: ``[rows, width]`` to ``[rows, len(span)]``."""
        before, after = slice(span.start), slice(span.stop, None)
        result = residual[:, span] @ self.block(span)
        if span.start:
            result += residual[:, before] @ self._matrix[span, before].T
        if span.stop < self.width:
            result += residual[:, after] @ self._matrix[after, span]
        return result

    def error(self, residual: torch.Tensor) -> torch.Tensor:
        """Return ``r H r^T`` of every row: ``[rows, width]`` to ``[rows]``."""
        spans = (slice(at, min(at + GROUP, self.width)) for at in range(0, self.width, GROUP))
        parts = [(self.product(residual, span) * residual[:, span]).sum(dim=1) for span in spans]
        return torch.stack(parts).sum(dim=0)


def rotate(
    rows: Rows, layout: ColumnLayout, diagonal: float, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """
    Express a Hessian in the coordinates that are quantized, ``T H_p T^T``, block row by block row.

    :param rows: gives the rows ``[k, in_features]`` of the undamped matrix for an index
    :param layout: of the family
    :param diagonal: what is added to the diagonal (the damping), padding columns included
    :param dtype: of the result
    :return: ``[width, width]``
    """
    sources = layout.sources()
    result: torch.Tensor | None = None
    for span, turn in layout.transform_blocks():
        index = sources[span]
        real = index >= 0
        gathered = layout.gather(rows(index.clamp_min(0)).to(dtype)) * real[:, None]
        if result is None:
            result = torch.empty(layout.width, layout.width, dtype=dtype, device=gathered.device)
        result[span] = turn(layout.turn(gathered).T).T
    assert result is not None
    result.diagonal().add_(diagonal)  # an orthogonal transform leaves a multiple of I as it is
    return result


def _factor(matrix: torch.Tensor) -> torch.Tensor:
    """
    Replace the strictly upper triangle by that of M and return M's diagonal.

    Panels from right to left. Products are summed in float64: attention sinks give a condition
    number at which float32 sums are not positive definite any more.
    """
    width = len(matrix)
    pivots = torch.empty(width, dtype=matrix.dtype, device=matrix.device)
    for stop in range(width, 0, -_PANEL):
        start = max(0, stop - _PANEL)
        panel = matrix[:stop, start:stop].to(torch.float64, copy=True)
        panel[start:] = panel[start:].triu() + panel[start:].triu(1).T
        for at in range(stop, width, _INNER):
            columns = slice(at, at + _INNER)
            inner = matrix[:stop, columns].double()
            panel -= inner @ inner[start:].T
        corner, info = torch.linalg.cholesky_ex(panel[start:].flip(0, 1))
        if info.any():
            raise CalibrationError(
                'the damped Hessian is not positive definite; check the calibration activations '
                'or raise the dampening'
            )
        corner = corner.flip(0, 1)  # upper: the reverse of a lower factor
        pivots[start:stop] = corner.diagonal().to(matrix.dtype)
        above = torch.linalg.solve_triangular(corner.T, panel[:start], upper=False, left=False)
        matrix[:start, start:stop] = above.to(matrix.dtype)
        own = matrix[start:stop, start:stop]
        own.copy_(own.tril() + corner.triu(1).to(matrix.dtype))
    return pivots
