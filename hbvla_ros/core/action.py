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
A predicted chunk of actions.

A chunk is a short film of the future: row ``k`` is meant for the interval
``[stamp + k * period, stamp + (k + 1) * period)``, where the stamp is the time of the observation,
not the time at which inference ended.
"""

from dataclasses import dataclass

from hbvla_ros.core.errors import ActionError
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ActionChunk:
    """
    ``actions`` is ``float64 [chunk_size, A]`` in the units of the robot file.

    :raises ActionError: for a wrong shape or a value that is not finite
    """

    actions: NDArray[np.float64]
    stamp_ns: int
    period_s: float

    def __post_init__(self) -> None:
        if self.actions.ndim != 2 or 0 in self.actions.shape:
            raise ActionError(f'a chunk is [chunk_size, A], got shape {self.actions.shape}')
        bad = np.argwhere(~np.isfinite(self.actions))
        if bad.size:
            row, column = bad[0]
            raise ActionError(
                f'the chunk holds {len(bad)} values that are not finite, the first in row {row}, '
                f'action {column}; it is dropped'
            )
        if not self.period_s > 0:
            raise ActionError(f'period_s must be positive, got {self.period_s}')

    @property
    def chunk_size(self) -> int:
        """Return the number of rows."""
        return int(self.actions.shape[0])
