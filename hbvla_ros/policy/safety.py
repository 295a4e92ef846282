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
Keep a command inside what the robot file allows.

A command is one ``float64 [A]`` in the units of the robot file. Position actions stay within
``[lower, upper]`` and move at most ``max_velocity * dt`` from where they are; delta actions stay
within ``[lower, upper]``. Nothing here knows time, chunks or messages.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hbvla_ros.core.errors import ActionError
from hbvla_ros.core.robot import ActionSpec, POSITION
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Limits:
    """The limits of all actions, each ``[A]``; ``is_position`` is False for delta actions."""

    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    max_velocity: NDArray[np.float64]
    is_position: NDArray[np.bool_]

    @classmethod
    def of(cls, actions: Sequence[ActionSpec]) -> 'Limits':
        """Collect the limits of a robot file."""
        return cls(
            np.array([action.lower for action in actions], dtype=np.float64),
            np.array([action.upper for action in actions], dtype=np.float64),
            np.array([action.max_velocity for action in actions], dtype=np.float64),
            np.array([action.kind == POSITION for action in actions], dtype=np.bool_),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Limited:
    """A permitted command and how many of its values each rule had to change."""

    values: NDArray[np.float64]
    position_clamps: int
    velocity_clamps: int


def limit(
    target: NDArray[np.float64], start: NDArray[np.float64], dt_s: float, limits: Limits
) -> Limited:
    """
    Return the permitted command that is nearest to ``target``.

    :param target: ``[A]`` what the policy wants
    :param start: ``[A]`` where each position action is now (last command, or measured); NaN where
        nobody knows, which leaves that action without a velocity limit
    :param dt_s: the time that the step may take
    :param limits: of the robot
    :return: the command; inside the position limits if ``start`` is at most one step outside
    :raises ActionError: if a target is not finite
    """
    if not np.isfinite(target).all():
        raise ActionError(f'the target {target} is not finite; the chunk must be dropped')
    inside = np.clip(target, limits.lower, limits.upper)
    known = limits.is_position & np.isfinite(start)
    step = limits.max_velocity * dt_s
    near = np.clip(inside, start - step, start + step)
    # The second clip undoes the rounding of ``start - step`` where the start lies at a limit.
    values = np.where(known, np.clip(near, limits.lower, limits.upper), inside)
    return Limited(
        values, int(np.count_nonzero(inside != target)), int(np.count_nonzero(values != inside))
    )


def beyond(start: NDArray[np.float64], dt_s: float, limits: Limits) -> NDArray[np.intp]:
    """
    Find position actions from which no permitted step leads back inside their limits.

    :param start: ``[A]`` the measured state; NaN where nothing is measured
    :param dt_s: the time that one step may take
    :param limits: of the robot
    :return: indices of actions further outside ``[lower, upper]`` than one step
    """
    step = limits.max_velocity * dt_s
    outside = (start < limits.lower - step) | (start > limits.upper + step)
    return np.flatnonzero(outside & limits.is_position)
