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

The executor keeps a plan of chunks, the measured state and the governor of the commands. Each
:meth:`Executor.step` returns a :class:`Command` to send, a :class:`Hold` reason (send nothing), or
None (nothing is due at this tick). When motion ends, exactly one more command is given: position
actions stay at their last command, delta actions are zero; with ``on_stale: decelerate`` commands
that brake within the acceleration limits come before it. After a hold motion starts again from the
measured state.

Times are nanoseconds of one clock that the caller reads. If that clock goes back, everything that
was received is forgotten and nothing is sent: where the robot is then, nobody knows.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

from hbvla_ros.core.action import ActionChunk
from hbvla_ros.core.errors import ObservationError
from hbvla_ros.core.robot import POSITION, RobotSpec
from hbvla_ros.policy.chunk_buffer import ChunkBuffer, Drop
from hbvla_ros.policy.decision import Command, DECELERATE, ExecutorConfig, Hold
from hbvla_ros.policy.governor import Governor
from hbvla_ros.policy.motion_clock import MotionClock
from hbvla_ros.policy.plan import make_plan, Target
from hbvla_ros.policy.safety import beyond, require_limits
from hbvla_ros.policy.schedule import ChunkConfig, Lapse
import numpy as np
from numpy.typing import NDArray

__all__ = ['Command', 'Executor', 'ExecutorConfig', 'Hold']
_DISABLED = 'motion is not enabled'
_AT_ONCE = (Hold.ESTOP, Hold.DISABLED, Hold.CLOCK_RESET)  # stops that never brake first
_STALL_PERIODS = 3  # without a tick for longer, the robot has come to rest at the last command


class _Motion:
    """What is forgotten when time goes back: the measured state and the last command's time."""

    def __init__(self, size: int) -> None:
        self.state: NDArray[np.float64] = np.full(size, np.nan)
        self.state_ns: NDArray[np.int64] = np.zeros(size, dtype=np.int64)
        self.last_ns = 0
        self.row: tuple[int, int] | None = None  # stamp of the chunk and row behind the last
        self.moving = False
        self.place: dict[str, float] = {}  # of the end effector


class Executor:
    """The plan, the governor, the watchdogs and the latched stop of one robot."""

    def __init__(self, robot: RobotSpec, config: ExecutorConfig) -> None:
        """
        Start disabled, without chunk and without state.

        :param robot: names, kinds and limits of the actions
        :param config: rates, ages and how chunks follow each other
        :raises ConfigError: if the robot file does not limit every action
        """
        require_limits(robot)
        self.enabled = self.estopped = self.paused = False
        self.hold: Hold | None = Hold.DISABLED  # None while moving
        self.detail = _DISABLED  # the hold in words
        self._holds: Counter[Hold] = Counter()
        self._clamps: Counter[str] = Counter()
        self._commands = self._clock_resets = 0
        self._config = config
        self._period_ns = round(config.control_period_s * 1e9)
        self._names = robot.action_names
        self._robot = robot
        self._governor = Governor(robot, config.control_period_s)
        self._limits = self._governor.limits
        self._measured: NDArray[np.bool_] = np.array(
            [a.kind == POSITION and a.name in robot.state_names for a in robot.actions]
        )
        self._measured_names = [(i, self._names[i]) for i in np.flatnonzero(self._measured)]
        chunks = ChunkConfig(max_chunk_age_s=config.max_chunk_age_s)
        self._buffer = ChunkBuffer(robot.action_names, chunks, self._limits)
        self._plan = make_plan(config.plan, chunks, self._limits.is_position)
        self._absent = Hold.NO_CHUNK  # the hold to report while there is no chunk
        self.policy_lost = False  # it was there and vanished
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

    def set_paused(self, now_ns: int, *, paused: bool) -> None:
        """
        Hold without disabling, or go on.

        What was observed before a pause ends never moves the robot: the scene may have changed.

        :param now_ns: the present
        :param paused: whether to hold
        """
        self._advance(now_ns)
        if self.paused and not paused:
            self._buffer.only_after(now_ns, Drop.BEFORE_RESUME)
            self._plan.clear()
            self._absent = Hold.NO_CHUNK
        self.paused = paused

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
        motion = self._motion
        reference = np.where(self._measured, motion.state, self._governor.last)
        if motion.moving:
            reference = self._governor.last
        consumed_ns = self._plan.consumed_ns(chunk, now_ns)
        dropped = self._buffer.offer(chunk, names, now_ns, reference, consumed_ns)
        if dropped is None:
            self._plan.add(chunk, now_ns)
        return dropped

    def drop_chunk(self, detail: str) -> None:
        """Count a message that is no chunk at all."""
        self._buffer.drop(Drop.INVALID, detail)

    def on_state(self, values: Mapping[str, float], now_ns: int) -> None:
        """
        Take measured values by name; names that nothing here needs are ignored.

        :param values: in the units of the robot file
        :param now_ns: when they arrived
        :raises ObservationError: if a value is not finite; none of them is taken
        """
        self._advance(now_ns)
        bad = sorted(name for name, value in values.items() if not np.isfinite(value))
        if bad:
            raise ObservationError(f'the measured state of {bad} is not finite')
        for index, name in self._measured_names:
            if name in values:
                self._motion.state[index] = values[name]
                self._motion.state_ns[index] = now_ns
        box = self._robot.workspace
        if box is not None:
            self._motion.place.update({n: values[n] for n in box.states if n in values})

    def on_instruction(self, text: str, now_ns: int) -> None:
        """
        Drop the chunk of another instruction, and those that are still on their way.

        :param text: the instruction; the same text again changes nothing
        :param now_ns: when it arrived
        """
        self._advance(now_ns)
        if self._buffer.new_instruction(text, now_ns):
            self._plan.clear()
            self._absent = Hold.NEW_INSTRUCTION

    def on_policy(self, now_ns: int, *, alive: bool) -> None:
        """
        Note that the policy's process vanished or is back.

        While it is gone the robot holds, and what it observed before never moves the robot again.

        :param now_ns: when it was noticed
        :param alive: False once it is gone
        """
        self._advance(now_ns)
        if not alive and not self.policy_lost:
            self._buffer.only_after(now_ns, Drop.BEFORE_LOSS)
            self._plan.clear()
            self._absent = Hold.POLICY_LOST
        self.policy_lost = not alive

    def wants_chunk(self, now_ns: int) -> bool:
        """Tell whether a policy that waits for the robot should look now."""
        return self.enabled and not self.paused and self._plan.wants_chunk(now_ns)

    def step(self, now_ns: int) -> Command | Hold | None:
        """
        Decide what to send at this tick.

        :param now_ns: the present
        :return: a command, the reason to send nothing, or None if this tick repeats a delta row
        """
        self._advance(now_ns)
        why = self._why_stopped()
        if why is None:
            target = self._plan.target(now_ns)
            why = self._why_no_row(target, now_ns) or self._why_no_state(now_ns)
            if why is None:
                assert isinstance(target, Target)
                return self._move(target, now_ns)
        return self._rest(*why, now_ns)

    def summary(self) -> dict[str, Any]:
        """Return counters and the present state as plain JSON values."""
        return {
            'enabled': self.enabled,
            'paused': self.paused,
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
            'policy_lost': self.policy_lost,
        }

    def _advance(self, now_ns: int) -> None:
        if self._now_ns is not None and now_ns < self._now_ns:
            self._buffer.forget()
            self._plan.clear()
            self._plan.motion = MotionClock()
            self._motion = _Motion(len(self._names))
            self._governor = Governor(self._robot, self._config.control_period_s)
            self._absent = Hold.CLOCK_RESET
            self._clock_resets += 1
        self._now_ns = now_ns

    def _why_stopped(self) -> tuple[Hold, str] | None:
        if self.estopped:
            return Hold.ESTOP, self._estop_reason
        if not self.enabled:
            return Hold.DISABLED, _DISABLED
        if self.paused:
            return Hold.PAUSED, 'paused; motion stays enabled'
        if self.policy_lost:
            return Hold.POLICY_LOST, 'the process of the policy is gone or stopped'
        return None

    def _why_no_row(self, target: Target | Lapse | None, now_ns: int) -> tuple[Hold, str] | None:
        if target is None:
            return self._absent, 'waiting for a chunk'
        if isinstance(target, Lapse):
            age_ms = (now_ns - (self._plan.newest_ns() or now_ns)) / 1e6
            return Hold.STALE_CHUNK, f'the last chunk is over, it was observed {age_ms:.0f} ms ago'
        return None

    def _why_no_state(self, now_ns: int) -> tuple[Hold, str] | None:
        motion = self._motion
        missing = self._named(np.isnan(motion.state) & self._measured)
        if self._robot.workspace is not None:
            missing += [n for n in self._robot.workspace.states if n not in motion.place]
        if missing:
            return Hold.NO_STATE, f'no measured state of {missing}'
        age_ns = np.where(self._measured, now_ns - motion.state_ns, 0)
        stale = self._named(age_ns > self._config.max_state_age_s * 1e9)
        if stale:
            return Hold.STALE_STATE, f'the state of {stale} is {age_ns.max() / 1e6:.0f} ms old'
        if motion.moving:
            return None
        outside = beyond(motion.state, self._config.control_period_s, self._limits)
        if outside.size:
            joints = ', '.join(f'{self._names[i]} at {motion.state[i]:.4g}' for i in outside)
            return Hold.OUTSIDE_LIMITS, (
                f'measured {joints}: further outside the limits of the robot file than one step; '
                'move the robot by hand or correct the file'
            )
        return None

    def _named(self, chosen: NDArray[np.bool_]) -> list[str]:
        return [self._names[index] for index in np.flatnonzero(chosen)]

    def _move(self, target: Target, now_ns: int) -> Command | None:
        motion = self._motion
        if not self._limits.is_position.all() and not self._is_new_row(target, now_ns):
            return None
        dt_ns = self._period_ns
        if not motion.moving:
            self._governor.start(motion.state)
        elif now_ns - motion.last_ns > _STALL_PERIODS * self._period_ns:
            self._governor.halt()
        else:
            dt_ns = min(now_ns - motion.last_ns, dt_ns)
        governed = self._governor.step(target.values, target.velocity, dt_ns / 1e9, self._place())
        is_first = motion.row is None or motion.row[0] != target.stamp_ns
        motion.last_ns = now_ns
        motion.row, motion.moving = (target.stamp_ns, target.row), True
        self._plan.motion.moves(now_ns)
        self.hold, self.detail = None, ''
        self._clamps.update(governed.clamps)
        self._commands += 1
        return Command(
            values=governed.values.copy(),
            chunk_stamp_ns=target.stamp_ns if is_first else None,
            ahead=self._preview(now_ns),
        )

    def _preview(self, now_ns: int) -> tuple[NDArray[np.float64], ...]:
        """Follow the plan ahead with a copy of the governor; the plan may end before."""
        if self._config.preview_points == 0:
            return ()
        rows: list[NDArray[np.float64]] = []
        governor, plan = copy(self._governor), copy(self._plan)
        for step in range(1, self._config.preview_points + 1):
            target = plan.target(now_ns + step * self._period_ns)
            if not isinstance(target, Target):
                break
            rows.append(
                governor.step(target.values, target.velocity, self._period_ns / 1e9).values
            )
        return tuple(rows)

    def _place(self) -> NDArray[np.float64] | None:
        box = self._robot.workspace
        return None if box is None else np.array([self._motion.place[n] for n in box.states])

    def _is_new_row(self, target: Target, now_ns: int) -> bool:
        """Tell whether a delta may be sent: each row once, and not two within one period."""
        if self._motion.row is None:
            return True
        earliest_ns = target.period_ns - self._period_ns // 2
        return (
            self._motion.row != (target.stamp_ns, target.row)
            and now_ns - self._motion.last_ns >= earliest_ns
        )

    def _rest(self, hold: Hold, detail: str, now_ns: int) -> Command | Hold:
        self.detail = detail
        if hold is not self.hold:
            self._holds[hold] += 1
            self.hold = hold
        motion = self._motion
        if not motion.moving:
            return hold
        if self._config.on_stale == DECELERATE and hold not in _AT_ONCE:
            slower = self._governor.brake((now_ns - motion.last_ns) / 1e9)
            if slower is not None:
                motion.last_ns = now_ns
                return Command(values=slower.values.copy(), hold=hold)
        motion.moving = False
        self._plan.motion.rests(now_ns)
        values = np.where(self._limits.is_position, self._governor.last, 0.0)
        return Command(values=values, hold=hold)
