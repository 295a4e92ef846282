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
Turn chunks of actions into limited commands, or hold the robot and say why.

The executor keeps one chunk, the measured state and the last command. Each :meth:`Executor.step`
returns a :class:`Command` to send, a :class:`Hold` reason (send nothing), or None (nothing is due
at this tick). When motion ends, exactly one more command is given: position actions stay at their
last command, delta actions are zero. After a hold motion starts again from the measured state.

Times are nanoseconds of one clock that the caller reads. If that clock goes back, everything that
was received is forgotten and nothing is sent: where the robot is then, nobody knows.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from hbvla_ros.core.action import ActionChunk
from hbvla_ros.core.errors import ConfigError, ObservationError
from hbvla_ros.core.robot import POSITION, RobotSpec
from hbvla_ros.policy.chunk_buffer import ChunkBuffer, Drop
from hbvla_ros.policy.safety import beyond, limit, Limits
from hbvla_ros.policy.schedule import ChunkConfig, Lapse, row_due
import numpy as np
from numpy.typing import NDArray


class Hold(Enum):
    """Why the robot is not moved."""

    ESTOP = 'estop'
    DISABLED = 'disabled'
    CLOCK_RESET = 'clock_reset'
    NEW_INSTRUCTION = 'new_instruction'
    NO_CHUNK = 'no_chunk'
    STALE_CHUNK = 'stale_chunk'
    NO_STATE = 'no_state'
    STALE_STATE = 'stale_state'
    OUTSIDE_LIMITS = 'outside_limits'


_DISABLED = 'motion is not enabled'


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorConfig:
    """How often commands are given and how old their inputs may be."""

    control_period_s: float = 0.02
    max_chunk_age_s: float = 2.0
    max_state_age_s: float = 0.5

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not getattr(self, name) > 0:
                raise ConfigError(f'{name} must be positive, got {getattr(self, name)}')


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Command:
    """
    What to send now.

    ``values`` is ``float64 [A]`` in the units of the robot file. ``hold`` is set on the one
    command that ends a motion. ``chunk_stamp_ns`` is set on the first command of each chunk.
    """

    values: NDArray[np.float64]
    hold: Hold | None = None
    chunk_stamp_ns: int | None = None


class _Motion:
    """What is forgotten when time goes back: the measured state and the last command."""

    def __init__(self, size: int) -> None:
        self.state: NDArray[np.float64] = np.full(size, np.nan)
        self.state_ns: NDArray[np.int64] = np.zeros(size, dtype=np.int64)
        self.last: NDArray[np.float64] = np.full(size, np.nan)
        self.last_ns = 0
        self.row: tuple[int, int] | None = None  # stamp of the chunk and row behind ``last``
        self.moving = False


class Executor:
    """The chunk, the limiter, the watchdogs and the latched stop of one robot."""

    def __init__(self, robot: RobotSpec, config: ExecutorConfig) -> None:
        """
        Start disabled, without chunk and without state.

        :param robot: names, kinds and limits of the actions
        :param config: rates and ages
        """
        self.enabled = self.estopped = False
        self.hold: Hold | None = Hold.DISABLED  # None while moving
        self.detail = _DISABLED  # the hold in words
        self._holds: Counter[Hold] = Counter()
        self._clamps: Counter[str] = Counter()
        self._commands = self._clock_resets = 0
        self._config = config
        self._period_ns = round(config.control_period_s * 1e9)
        self._names = robot.action_names
        self._limits = Limits.of(robot.actions)
        self._measured: NDArray[np.bool_] = np.array(
            [a.kind == POSITION and a.name in robot.state_names for a in robot.actions]
        )
        self._chunk_config = ChunkConfig(max_chunk_age_s=config.max_chunk_age_s)
        self._buffer = ChunkBuffer(robot.action_names, self._chunk_config)
        self._absent = Hold.NO_CHUNK  # the hold to report while there is no chunk
        self._motion = _Motion(len(self._names))
        self._estop_reason = ''
        self._now_ns: int | None = None

    @property
    def moving(self) -> bool:
        """Tell whether the last step commanded motion."""
        return self._motion.moving

    def set_enabled(self, *, enabled: bool) -> None:
        """Allow or forbid motion; while the stop is latched it stays forbidden."""
        self.enabled = enabled and not self.estopped

    def estop(self, reason: str) -> None:
        """Stop and stay stopped until :meth:`reset`; the first reason is kept."""
        if not self.estopped:
            self.estopped, self._estop_reason = True, reason
        self.enabled = False

    def reset(self) -> None:
        """Release the latched stop; motion must be enabled again separately."""
        self.estopped, self._estop_reason = False, ''

    def on_chunk(self, chunk: ActionChunk, names: Sequence[str], now_ns: int) -> Drop | None:
        """
        Take a chunk, or drop it whole and keep following the one before.

        :param chunk: the prediction
        :param names: what its columns are; must equal the robot's actions, in order
        :param now_ns: the present
        :return: why it was dropped, or None if it was taken
        """
        self._advance(now_ns)
        return self._buffer.offer(chunk, names, now_ns)

    def drop_chunk(self, detail: str) -> None:
        """Count a message that is no chunk at all."""
        self._buffer.drop(Drop.INVALID, detail)

    def on_state(self, values: Mapping[str, float], now_ns: int) -> None:
        """
        Take measured values by name; names that are no position action are ignored.

        :param values: in the units of the robot file
        :param now_ns: when they arrived
        :raises ObservationError: if a value is not finite; none of them is taken
        """
        self._advance(now_ns)
        bad = sorted(name for name, value in values.items() if not np.isfinite(value))
        if bad:
            raise ObservationError(f'the measured state of {bad} is not finite')
        for index in np.flatnonzero(self._measured):
            if self._names[index] in values:
                self._motion.state[index] = values[self._names[index]]
                self._motion.state_ns[index] = now_ns

    def on_instruction(self, text: str, now_ns: int) -> None:
        """
        Drop the chunk of another instruction, and those that are still on their way.

        :param text: the instruction; the same text again changes nothing
        :param now_ns: when it arrived
        """
        self._advance(now_ns)
        if self._buffer.new_instruction(text, now_ns):
            self._absent = Hold.NEW_INSTRUCTION

    def step(self, now_ns: int) -> Command | Hold | None:
        """
        Decide what to send at this tick.

        :param now_ns: the present
        :return: a command, the reason to send nothing, or None if this tick repeats a delta row
        """
        self._advance(now_ns)
        why = self._why_stopped() or self._why_no_row(now_ns) or self._why_no_state(now_ns)
        return self._move(now_ns) if why is None else self._rest(*why)

    def summary(self) -> dict[str, Any]:
        """Return counters and the present state as plain JSON values."""
        return {
            'enabled': self.enabled,
            'estop': self._estop_reason if self.estopped else '',
            'hold': self.hold.value if self.hold else '',
            'detail': self.detail,
            'commands': self._commands,
            'chunks': self._buffer.taken,
            'chunks_dropped': {drop.value: n for drop, n in self._buffer.drops.items()},
            'last_drop': self._buffer.last_drop,
            'holds': {hold.value: n for hold, n in self._holds.items()},
            'clamps': dict(self._clamps),
            'clock_resets': self._clock_resets,
        }

    def _advance(self, now_ns: int) -> None:
        if self._now_ns is not None and now_ns < self._now_ns:
            self._buffer.forget()
            self._motion = _Motion(len(self._names))
            self._absent = Hold.CLOCK_RESET
            self._clock_resets += 1
        self._now_ns = now_ns

    def _why_stopped(self) -> tuple[Hold, str] | None:
        if self.estopped:
            return Hold.ESTOP, self._estop_reason
        if not self.enabled:
            return Hold.DISABLED, _DISABLED
        return None

    def _why_no_row(self, now_ns: int) -> tuple[Hold, str] | None:
        chunk = self._buffer.chunk
        if chunk is None:
            return self._absent, 'waiting for a chunk'
        if isinstance(row_due(chunk, now_ns, self._chunk_config), Lapse):
            age_ms = (now_ns - chunk.stamp_ns) / 1e6
            return Hold.STALE_CHUNK, f'the last chunk is over, it was observed {age_ms:.0f} ms ago'
        return None

    def _why_no_state(self, now_ns: int) -> tuple[Hold, str] | None:
        motion = self._motion
        missing = self._named(np.isnan(motion.state) & self._measured)
        if missing:
            return Hold.NO_STATE, f'no measured state of {missing}'
        age_ns = np.where(self._measured, now_ns - motion.state_ns, 0)
        stale = self._named(age_ns > self._config.max_state_age_s * 1e9)
        if stale:
            return Hold.STALE_STATE, f'the state of {stale} is {age_ns.max() / 1e6:.0f} ms old'
        outside = beyond(motion.state, self._config.control_period_s, self._limits)
        if outside.size and not motion.moving:
            joints = ', '.join(f'{self._names[i]} at {motion.state[i]:.4g}' for i in outside)
            return Hold.OUTSIDE_LIMITS, (
                f'measured {joints}: further outside the limits of the robot file than one step; '
                'move the robot by hand or correct the file'
            )
        return None

    def _named(self, chosen: NDArray[np.bool_]) -> list[str]:
        return [self._names[index] for index in np.flatnonzero(chosen)]

    def _move(self, now_ns: int) -> Command | None:
        chunk, motion = self._buffer.chunk, self._motion
        assert chunk is not None
        row = row_due(chunk, now_ns, self._chunk_config)
        assert isinstance(row, int)
        if not self._limits.is_position.all() and not self._is_new_row(chunk, row, now_ns):
            return None
        if motion.moving:
            start, dt_ns = motion.last, min(now_ns - motion.last_ns, self._period_ns)
        else:
            start, dt_ns = np.where(self._measured, motion.state, motion.last), self._period_ns
        limited = limit(chunk.actions[row], start, dt_ns / 1e9, self._limits)
        is_first = motion.row is None or motion.row[0] != chunk.stamp_ns
        motion.last, motion.last_ns = limited.values, now_ns
        motion.row, motion.moving = (chunk.stamp_ns, row), True
        self.hold, self.detail = None, ''
        self._clamps.update(position=limited.position_clamps, velocity=limited.velocity_clamps)
        self._commands += 1
        return Command(
            values=limited.values.copy(), chunk_stamp_ns=chunk.stamp_ns if is_first else None
        )

    def _is_new_row(self, chunk: ActionChunk, row: int, now_ns: int) -> bool:
        """Tell whether a delta may be sent: each row once, and not two within one period."""
        if self._motion.row is None:
            return True
        earliest_ns = round(chunk.period_s * 1e9) - self._period_ns // 2
        return (
            self._motion.row != (chunk.stamp_ns, row)
            and now_ns - self._motion.last_ns >= earliest_ns
        )

    def _rest(self, hold: Hold, detail: str) -> Command | Hold:
        self.detail = detail
        if hold is not self.hold:
            self._holds[hold] += 1
            self.hold = hold
        if not self._motion.moving:
            return hold
        self._motion.moving = False
        values = np.where(self._limits.is_position, self._motion.last, 0.0)
        return Command(values=values, hold=hold)
