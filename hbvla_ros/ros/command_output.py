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

"""Publish commands on the output topics of a robot, in the message type of its controllers."""

from hbvla_ros.core.robot import RobotSpec
from hbvla_ros.ros import qos
from hbvla_ros.ros.commands import COMMANDS, Step
from hbvla_ros.ros.managed_node import ManagedNode
import numpy as np
from numpy.typing import NDArray


class CommandOutput:
    """One publisher per output group of the robot file."""

    def __init__(self, node: ManagedNode, robot: RobotSpec, adapter: str, period_s: float) -> None:
        """
        Advertise the outputs.

        :param node: publishes while it is active
        :param robot: names the topics and the joints of each
        :param adapter: one of ``COMMANDS``
        :param period_s: time between two commands
        """
        self._node, self._robot, self._period_s = node, robot, period_s
        self._adapter = COMMANDS[adapter]
        self._publishers = [
            (
                group,
                node.create_lifecycle_publisher(
                    self._adapter.message_type, group.topic, qos.COMMAND
                ),
            )
            for group in robot.outputs
        ]

    def send(self, values: NDArray[np.float64], now_ns: int) -> None:
        """
        Publish one command.

        :param values: ``[A]`` in the units of the robot file
        :param now_ns: when it was decided
        """
        step = Step(
            values=dict(zip(self._robot.action_names, values.tolist(), strict=True)),
            stamp_ns=now_ns,
            period_s=self._period_s,
            frame_id=self._robot.base_frame,
        )
        for group, publisher in self._publishers:
            publisher.publish(self._adapter.build(step, group))

    def close(self) -> None:
        """Withdraw the outputs."""
        for _, publisher in self._publishers:
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers.clear()
