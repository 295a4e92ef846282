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
Judge commands against the limits of a robot file, independently of who computed them.

Works on what was sent alone: values, times, and where the robot was measured when a motion began.
Tests, benchmarks and a user's own replay test use it; it shares no code with the governor.
"""

from collections.abc import Sequence

from hbvla_ros.core.robot import POSITION, RobotSpec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# Positions are numbers near pi: their rounding, seen through one and two time differences.
_DIGITS = 1e-14
_STALL_PERIODS = 3


class LimitAudit:
    """Check every command of one robot as it is sent."""

    def __init__(self, robot: RobotSpec, period_s: float) -> None:
        """
        Begin at rest.

        :param robot: whose limits hold
        :param period_s: the control period; a longer pause still counts as one period, and after
            three of them the robot is taken to rest
        """
        self.commands = 0
        self._names = robot.action_names
        self._lower = np.array([action.lower for action in robot.actions])
        self._upper = np.array([action.upper for action in robot.actions])
        self._velocity_limit = np.array([action.max_velocity for action in robot.actions])
        self._acceleration_limit = np.array([action.max_acceleration for action in robot.actions])
        self._step_limit = np.array([action.max_step for action in robot.actions])
        self._is_position = np.array([action.kind == POSITION for action in robot.actions])
        self._period_s = period_s
        self._last: Floats | None = None
        self._last_ns = 0
        self._velocity: Floats = np.zeros(len(self._names))

    def rest(self) -> None:
        """Note that the robot was held: the next command begins a motion."""
        self._last = None

    def begin(self, measured: Floats, values: Floats, now_ns: int) -> list[str]:
        """
        Check the first command of a motion.

        :param measured: ``[A]`` where the robot is; NaN where nothing is measured
        :param values: ``[A]`` the command
        :param now_ns: when it is sent
        :return: what is wrong, one sentence each
        """
        way = np.abs(values - measured)
        reach = np.minimum(self._step_limit, self._velocity_limit * self._period_s)
        problems = self._outside(values)
        problems += self._named('begins far from the measured state', way - reach, _DIGITS)
        self._last = np.clip(measured, self._lower, self._upper)
        self._velocity = np.zeros_like(values)
        problems += self._moves(values, self._period_s)
        self._last_ns = now_ns
        return problems

    def go_on(self, values: Floats, now_ns: int) -> list[str]:
        """
        Check the next command of a motion.

        :param values: ``[A]`` the command
        :param now_ns: when it is sent
        :return: what is wrong, one sentence each
        """
        gap_s = (now_ns - self._last_ns) / 1e9
        if gap_s > _STALL_PERIODS * self._period_s:
            self._velocity = np.zeros_like(values)
        problems = self._outside(values) + self._moves(values, min(gap_s, self._period_s))
        self._last_ns = now_ns
        return problems

    @property
    def resting(self) -> bool:
        """Tell whether the next command begins a motion."""
        return self._last is None

    def _outside(self, values: Floats) -> list[str]:
        self.commands += 1
        if not np.isfinite(values).all():
            return ['a command is not finite']
        excess = np.maximum(self._lower - values, values - self._upper)
        return self._named('lies outside its range', excess, 0.0, everywhere=True)

    def _moves(self, values: Floats, dt_s: float) -> list[str]:
        assert self._last is not None
        way = values - self._last
        self._last = values.copy()
        if dt_s <= 0:
            return self._named('moves in no time', np.abs(way), 0.0)
        velocity = way / dt_s
        change = np.abs(velocity - self._velocity) / dt_s
        self._velocity = np.where(np.isfinite(velocity), velocity, 0.0)
        return [
            *self._named('is too fast', np.abs(velocity) - self._velocity_limit, _DIGITS / dt_s),
            *self._named(
                'accelerates too much', change - self._acceleration_limit, _DIGITS / dt_s**2
            ),
        ]

    def _named(
        self, what: str, excess: Floats, slack: float, *, everywhere: bool = False
    ) -> list[str]:
        chosen = (excess > slack) & (self._is_position | everywhere)
        if not chosen.any():
            return []
        return [
            f'{self._names[index]} {what} by {excess[index]:.3g}'
            for index in np.flatnonzero(chosen)
        ]


def audit_motion(
    robot: RobotSpec,
    commands: Floats,
    command_ns: Sequence[int] | NDArray[np.int64],
    period_s: float,
    measured: Floats | None = None,
) -> list[str]:
    """
    Check a recorded motion without holds.

    :param robot: whose limits hold
    :param commands: ``[N, A]``
    :param command_ns: when each was sent
    :param period_s: the control period
    :param measured: ``[A]`` where the robot rested before; None takes the first command
    :return: what is wrong, one sentence each, with the number of the command
    """
    audit = LimitAudit(robot, period_s)
    problems: list[str] = []
    for index, (values, now_ns) in enumerate(zip(commands, command_ns, strict=True)):
        if audit.resting:
            found = audit.begin(values if measured is None else measured, values, int(now_ns))
        else:
            found = audit.go_on(values, int(now_ns))
        problems += [f'command {index}: {problem}' for problem in found]
    return problems
