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
Decide when the next prediction is due.

The rule counts time of observations, not of computing: after ``execute_steps`` rows the robot
should see again, whatever the network took. While the network is busy a newer observation stays
due, so that it always continues with the freshest one. Times are passed in.
"""

from hbvla_ros.core.errors import ConfigError

ASYNCHRONOUS, SYNCHRONOUS = 'asynchronous', 'synchronous'
PACINGS = (ASYNCHRONOUS, SYNCHRONOUS)


class Pacing:
    """Remember which observation the network took last and tell whether another is due."""

    on_request = False

    def __init__(self, interval_s: float) -> None:
        """
        Start with a prediction due at once.

        :param interval_s: time of observations between two predictions, in seconds
        :raises ConfigError: if it is not positive
        """
        if not interval_s > 0:
            raise ConfigError(f'the interval between predictions must be positive: {interval_s}')
        self._interval_ns = round(interval_s * 1e9)
        self._last_ns: int | None = None
        self._not_before_ns: int | None = None

    @property
    def interval_s(self) -> float:
        """Return the time of observations between two predictions."""
        return self._interval_ns / 1e9

    def is_due(self, stamp_ns: int) -> bool:
        """
        Tell whether the network should look at an observation.

        :param stamp_ns: the stamp of the observation
        """
        start, last = self._not_before_ns, self._last_ns
        if start is not None and stamp_ns < start:
            return False
        if last is None or stamp_ns < last or (start is not None and last < start):
            return True
        return stamp_ns - last >= self._interval_ns

    def started(self, stamp_ns: int) -> None:
        """Note that the network has begun with an observation; any thread may call this."""
        self._last_ns = stamp_ns

    def finished(self) -> None:
        """Note that the network has an answer, or failed."""

    def requested(self, now_ns: int) -> None:
        """Note that a robot waits since ``now_ns``; it changes nothing here."""

    def new_instruction(self, now_ns: int) -> None:
        """
        Ask for a prediction with the first observation of the new instruction.

        What was seen before it counts as the old instruction's: the action executor drops a chunk
        whose observation is older than the instruction.
        """
        self._not_before_ns = now_ns

    def reset(self) -> None:
        """Forget everything, because time itself went back."""
        self._last_ns = self._not_before_ns = None


class PacingOnRequest(Pacing):
    """Predict only when the robot asks, once per request, from what is seen after it."""

    on_request = True

    def __init__(self) -> None:
        """Start without a request."""
        super().__init__(1e-9)  # every observation is as good as the next
        self._request_ns: int | None = None
        self._busy = False

    def is_due(self, stamp_ns: int) -> bool:
        """
        Tell whether the network should look at an observation.

        :param stamp_ns: the stamp of the observation
        """
        if self._busy or self._request_ns is None or stamp_ns < self._request_ns:
            return False
        return super().is_due(stamp_ns)

    def started(self, stamp_ns: int) -> None:
        """Note that the network has begun; requests until it has an answer are the same one."""
        self._busy = True
        super().started(stamp_ns)

    def finished(self) -> None:
        """Note that the network has an answer, or failed; a robot that still waits asks again."""
        self._busy, self._request_ns = False, None

    def requested(self, now_ns: int) -> None:
        """Note that a robot waits since ``now_ns``."""
        if not self._busy:
            self._request_ns = now_ns

    def reset(self) -> None:
        """Forget everything, because time itself went back."""
        super().reset()
        self._busy, self._request_ns = False, None


def interval_s(
    execute_steps: int, inference_rate_hz: float, *, chunk_size: int, period_s: float
) -> float:
    """
    Return the time between two predictions.

    :param execute_steps: rows followed before the next prediction; 0 means half a chunk
    :param inference_rate_hz: a fixed rate instead, if above 0
    :param chunk_size: rows of one prediction
    :param period_s: time step of the rows
    :raises ConfigError: if more rows should be followed than a chunk has
    """
    if inference_rate_hz > 0:
        return 1.0 / inference_rate_hz
    if execute_steps > chunk_size:
        raise ConfigError(
            f'execute_steps is {execute_steps}, but this policy predicts {chunk_size} rows at '
            f'once; give 1..{chunk_size}, or 0 for half of them'
        )
    return (execute_steps or max(1, chunk_size // 2)) * period_s
