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
How a robot follows predicted chunks when a prediction takes time.

Time is counted in control steps, and nothing here knows a simulator or a network.
"""

from dataclasses import dataclass

from hbvla_ros.core.action import ActionChunk
from hbvla_ros.core.errors import ActionError, ConfigError
from hbvla_ros.evaluate.sim.world import PERIOD_S
from hbvla_ros.policy.schedule import ChunkConfig, row_due
import numpy as np
from numpy.typing import NDArray

BLOCKING, ASYNCHRONOUS = 'blocking', 'asynchronous'
MODES = (BLOCKING, ASYNCHRONOUS)
PERIOD_NS = round(PERIOD_S * 1e9)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """
    How predictions are followed.

    ``execute_steps`` rows are followed before the policy looks again; 0 means the whole chunk. An
    answer comes ``delay_steps`` control steps after its observation. Until then a ``blocking``
    robot holds, and follows the chunk from its first row; an ``asynchronous`` one goes on with the
    old chunk and enters the new one at the row of its age, and looks again early enough that rows
    do not run out, where a chunk is long enough for that. An episode lasts at most
    ``time_factor`` times the task's own limit.

    :raises ConfigError: for a value out of range
    """

    execute_steps: int = 0
    delay_steps: int = 0
    mode: str = BLOCKING
    time_factor: int = 1

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigError(f'mode is one of {", ".join(MODES)}, got {self.mode!r}')
        if min(self.execute_steps, self.delay_steps) < 0 or self.time_factor < 1:
            raise ConfigError(
                f'execute_steps and delay_steps must be >= 0 and time_factor >= 1, got {self}'
            )

    def interval(self, chunk_size: int) -> int:
        """
        Return the control steps from one observation to the next.

        :param chunk_size: rows of one prediction
        :raises ConfigError: if more rows should be followed than a chunk has
        """
        rows = self.execute_steps or chunk_size
        if rows > chunk_size:
            raise ConfigError(
                f'execute_steps is {rows}, but this policy predicts {chunk_size} rows at once; '
                f'give 1..{chunk_size}, or 0 for all of them'
            )
        if self.mode == BLOCKING:
            return self.delay_steps + rows
        return max(1, self.delay_steps, min(rows, chunk_size - self.delay_steps))


class Follower:
    """Which joint target is due at each control step; knows no simulator."""

    def __init__(self, execution: Execution, chunk_size: int, start: Floats) -> None:
        """
        Begin without a chunk, due to look at once.

        :param execution: how chunks are followed
        :param chunk_size: rows of one prediction
        :param start: the target that is held until the first chunk arrives
        :raises ConfigError: if more rows should be followed than a chunk has
        """
        self._interval = execution.interval(chunk_size)
        self._blocking = execution.mode == BLOCKING
        self._delay = execution.delay_steps
        self._config = ChunkConfig(max_chunk_age_s=(1 + chunk_size) * PERIOD_S)
        self._next = 0  # step of the next observation
        self._arrives = 0
        self._coming: ActionChunk | None = None
        self._chunk: ActionChunk | None = None
        self._target = start

    def looks(self, step: int) -> bool:
        """Tell whether the policy looks before this control step."""
        return step >= self._next

    def take(self, step: int, actions: Floats) -> bool:
        """
        Note the answer to what was seen at a step; it is followed once its delay has passed.

        :param step: of the observation
        :param actions: ``[chunk_size, 14]``
        :return: False if it can't be used because it is not finite; the robot goes on without it
        """
        self._receive(step)
        self._next, self._arrives = step + self._interval, step + self._delay
        # A robot that stood still follows the chunk from its first row, whatever the delay.
        stamp = self._arrives if self._blocking else step
        if self._blocking:
            self._chunk = None
        try:
            self._coming = ActionChunk(
                actions=actions, stamp_ns=stamp * PERIOD_NS, period_s=PERIOD_S
            )
        except ActionError:
            self._coming = None
        return self._coming is not None

    def target(self, step: int) -> Floats:
        """Return what is commanded at a step, ``[14]``; the last target where no row is due."""
        self._receive(step)
        if self._chunk is not None:
            row = row_due(self._chunk, step * PERIOD_NS, self._config)
            if isinstance(row, int):
                self._target = self._chunk.actions[row]
        return self._target

    def _receive(self, step: int) -> None:
        if self._coming is not None and step >= self._arrives:
            self._chunk, self._coming = self._coming, None
