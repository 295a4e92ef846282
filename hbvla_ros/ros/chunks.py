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
A chunk of actions as ``trajectory_msgs/JointTrajectory``, and back.

The header carries the time of the observation. Row ``k`` ends at ``time_from_start`` =
``(k + 1) * period``: a trajectory point names the time of arrival, so dropping every point whose
time has passed leaves exactly the rows that are still due.
"""

from typing import Any

from builtin_interfaces.msg import Duration, Time
from hbvla_ros.core.action import ActionChunk
from hbvla_ros.core.bag import header_ns
from hbvla_ros.core.errors import ActionError
from hbvla_ros.core.robot import RobotSpec
import numpy as np
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

_GIGA = 1_000_000_000
_UNEVEN_NS = 1000  # rounding of the publisher; a real jitter of the rows is far larger


def time_message(stamp_ns: int) -> Any:
    """Return a ``builtin_interfaces/Time``."""
    return Time(sec=stamp_ns // _GIGA, nanosec=stamp_ns % _GIGA)


def duration_message(duration_ns: int) -> Any:
    """Return a ``builtin_interfaces/Duration``."""
    return Duration(sec=duration_ns // _GIGA, nanosec=duration_ns % _GIGA)


def chunk_message(chunk: ActionChunk, robot: RobotSpec) -> Any:
    """
    Build the message of a chunk.

    :param chunk: one column per action of the robot
    :param robot: names the columns
    :raises ActionError: if the columns are not the robot's actions
    """
    if chunk.actions.shape[1] != len(robot.actions):
        raise ActionError(
            f'the chunk has {chunk.actions.shape[1]} actions, robot {robot.name} has '
            f'{len(robot.actions)}'
        )
    message = JointTrajectory(joint_names=list(robot.action_names))
    message.header.stamp = time_message(chunk.stamp_ns)
    message.header.frame_id = robot.base_frame
    message.points = [
        JointTrajectoryPoint(
            positions=row.tolist(),
            time_from_start=duration_message(round((k + 1) * chunk.period_s * _GIGA)),
        )
        for k, row in enumerate(chunk.actions)
    ]
    return message


def chunk_from(message: Any) -> ActionChunk:
    """
    Read a chunk; the names of its columns are ``message.joint_names``.

    :param message: a ``trajectory_msgs/JointTrajectory``
    :raises ActionError: if it is empty, ragged, not evenly timed or not finite
    """
    widths = {len(point.positions) for point in message.points}
    if len(widths) != 1:
        raise ActionError(f'a chunk has rows of one length, got the lengths {sorted(widths)}')
    ends_ns = np.array(
        [p.time_from_start.sec * _GIGA + p.time_from_start.nanosec for p in message.points]
    )
    period_ns = ends_ns[-1] / len(ends_ns)
    even_ns = period_ns * np.arange(1, len(ends_ns) + 1)
    if period_ns <= 0 or np.abs(ends_ns - even_ns).max() > _UNEVEN_NS:
        raise ActionError(
            'row k of a chunk ends at time_from_start = (k + 1) * period; got '
            f'{(ends_ns[:3] / _GIGA).tolist()} ... s'
        )
    return ActionChunk(
        actions=np.array([point.positions for point in message.points], dtype=np.float64),
        stamp_ns=header_ns(message),
        period_s=float(period_ns / _GIGA),
    )
