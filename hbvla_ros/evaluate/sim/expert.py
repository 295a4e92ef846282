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
Smooth ways between waypoints, which the scripted experts of all tasks are made of.

The expert moves to a waypoint along a smoothstep in joint space and moves grippers at the begin
of the segment. A plan is open loop: it is made once, from the poses at its begin.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hbvla_ros.evaluate.sim.kinematics import reach_for
from hbvla_ros.evaluate.sim.world import arm_slice, GRIPPERS, home_state, SIZE
import numpy as np
from numpy.typing import NDArray

PITCH = 1.15  # downward tilt of a gripper over the table, rad
GRIPPER_STEPS = 3  # in which a gripper's command goes from open to closed
OPEN, CLOSED = 1.0, 0.0
ABOVE_M = 0.10  # where a gripper begins to descend
GRASP_M = 0.012  # of the fingertips over the centre of a cube: lower, they jam on the table
FINE = 0.4  # slack of movements near cubes

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Waypoint:
    """
    ``target`` is a pose of both arms ``[14]``, reached ``steps`` control steps later.

    ``slack`` is the share of a disturbance that the movement forgives, for demonstrations.
    """

    target: Floats
    steps: int
    slack: float = 1.0


class Course:
    """A plan under construction; both arms begin at home with open grippers."""

    def __init__(self) -> None:
        """Begin without waypoints."""
        self.waypoints: list[Waypoint] = []
        self._pose = home_state()

    def go(
        self, steps: int, joints: Mapping[int, Floats] | None = None, slack: float = 1.0
    ) -> 'Course':
        """
        Move arms to joint angles, all at the same time.

        :param steps: control steps
        :param joints: angles ``[6]`` by arm; arms that are not named stay
        :param slack: see :class:`Waypoint`
        """
        for arm, angles in (joints or {}).items():
            self._pose[arm_slice(arm)] = angles
        self.waypoints.append(Waypoint(self._pose.copy(), steps, slack))
        return self

    def grip(self, steps: int, arm: int, opening: float) -> 'Course':
        """
        Move one gripper while the arms stand.

        :param steps: control steps
        :param arm: 0 left, 1 right
        :param opening: ``OPEN`` or ``CLOSED``
        """
        self._pose[GRIPPERS[arm]] = opening
        return self.go(steps, slack=FINE)

    def grasp(self, arm: int, point: Floats) -> 'Course':
        """
        Take what lies at a point: approach, descend, close.

        :param arm: 0 left, 1 right
        :param point: its centre, ``[x, y, z]`` in m
        """
        above = self.over(arm, point, ABOVE_M)
        down = self.over(arm, point, GRASP_M)
        return self.go(14, above).go(9, down, slack=FINE).grip(5, arm, CLOSED)

    @staticmethod
    def over(arm: int, point: Floats, height: float) -> dict[int, Floats]:
        """
        Return the joints with which a gripper points down at a place.

        :param arm: 0 left, 1 right
        :param point: ``[x, y, z]`` in m
        :param height: of the fingertips over the point, in m
        """
        return {arm: reach_for(arm, point + np.array([0, 0, height]), PITCH)}


def trajectory(start: Floats, waypoints: Sequence[Waypoint]) -> Floats:
    """
    Return the targets of every control step.

    :param start: the pose at the begin, ``[14]``
    :param waypoints: in order
    :return: ``[steps, 14]``; arms without a task are commanded to their waypoint at once
    """
    rows, pose = [], np.asarray(start, np.float64)
    for waypoint in waypoints:
        way = waypoint.target - pose
        time = np.arange(1, waypoint.steps + 1)
        done = time / waypoint.steps
        share = np.repeat((done * done * (3 - 2 * done))[:, None], SIZE, 1)
        share[:, GRIPPERS] = np.minimum(1, time / GRIPPER_STEPS)[:, None]
        rows.append(pose + share * way)
        pose = waypoint.target
    return np.concatenate(rows)
