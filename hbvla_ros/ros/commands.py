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
One command to the message that a robot's controller reads.

An adapter is one function; a new one is a function and a line in ``COMMANDS``. Values are turned
into the robot's units (a gripper 0..1 into its joint angle) by the joints of the output group.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hbvla_ros.core.robot import JointGroup
from hbvla_ros.ros.chunks import duration_message, time_message
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint


@dataclass(frozen=True, kw_only=True)
class Step:
    """One command: values by action name, when it was decided, and the time until the next."""

    values: Mapping[str, float]
    stamp_ns: int
    period_s: float
    frame_id: str = ''

    def wire(self, group: JointGroup) -> list[float]:
        """Return the values of one output group in the robot's units, in its order."""
        return [float(joint.to_wire(self.values[joint.name])) for joint in group.joints]


@dataclass(frozen=True)
class Adapter:
    """The message type that a controller reads, and how to build it."""

    message_type: Any
    build: Callable[[Step, JointGroup], Any]


def joint_trajectory(step: Step, group: JointGroup) -> Any:
    """Build a ``JointTrajectory`` of one point, to be reached when the next one comes."""
    arrival = duration_message(round(step.period_s * 1e9))
    message = JointTrajectory(
        joint_names=[joint.wire for joint in group.joints],
        points=[JointTrajectoryPoint(positions=step.wire(group), time_from_start=arrival)],
    )
    # The stamp stays zero, which means "start now": a controller drops points whose time is over.
    message.header.frame_id = step.frame_id
    return message


def float64_multiarray(step: Step, group: JointGroup) -> Any:
    """Build the bare numbers that a ``forward_command_controller`` reads."""
    return Float64MultiArray(data=step.wire(group))


def joint_state(step: Step, group: JointGroup) -> Any:
    """Build a ``JointState`` with named positions."""
    message = JointState(name=[joint.wire for joint in group.joints], position=step.wire(group))
    message.header.stamp = time_message(step.stamp_ns)
    message.header.frame_id = step.frame_id
    return message


COMMANDS: dict[str, Adapter] = {
    'joint_trajectory': Adapter(JointTrajectory, joint_trajectory),
    'float64_multiarray': Adapter(Float64MultiArray, float64_multiarray),
    'joint_state': Adapter(JointState, joint_state),
}
