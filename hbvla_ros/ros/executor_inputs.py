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
What the action executor hears: chunks, measured joints, the instruction and the stop.

Messages that can't be used are counted with their reason; the executor then holds by itself, since
what it needs is missing or too old. Joint states count from their arrival: the clocks of drivers
are not compared with ours here.
"""

from functools import partial
import time
from typing import Any

from hbvla_ros.core.decode import joint_values
from hbvla_ros.core.errors import ActionError, ObservationError
from hbvla_ros.core.robot import JointGroup, RobotSpec
from hbvla_ros.policy.executor import Executor
from hbvla_ros.policy.pulse import Pulse
from hbvla_ros.ros import qos
from hbvla_ros.ros.chunks import chunk_from
from hbvla_ros.ros.managed_node import ManagedNode
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Empty, String
from trajectory_msgs.msg import JointTrajectory


class ExecutorInputs:
    """Feed one executor from its topics."""

    def __init__(
        self, node: ManagedNode, robot: RobotSpec, executor: Executor, lease_s: float
    ) -> None:
        """
        Subscribe.

        :param node: subscribes
        :param robot: names the topics of joints and instruction
        :param executor: is fed
        :param lease_s: the policy is gone when its process was silent for longer
        """
        self.stop_requested = False  # the last word of the topic ``estop``
        self.measured: dict[str, float] = {}  # the latest state by name
        self._node, self._executor = node, executor
        self._pulse = Pulse(lease_s)
        self._bad_states = 0
        self._last_bad_state = ''
        self._subscriptions = [
            node.subscribe(JointTrajectory, 'action_chunk', self._on_chunk, qos.ACTION_CHUNK),
            node.subscribe(String, robot.instruction_topic, self._on_text, qos.INSTRUCTION),
            node.subscribe(Bool, 'estop', self._on_estop, qos.ESTOP),
            node.subscribe(
                Empty, 'heartbeat', self._on_heartbeat, qos.heartbeat(lease_s), self._on_alive
            ),
            *(
                node.subscribe(
                    JointState, group.topic, partial(self._on_state, group), qos.JOINT_STATES
                )
                for group in robot.states
            ),
        ]

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def listen(self) -> None:
        """Judge at every tick whether the policy lives, by a clock that no simulation stops."""
        self._pulse.listen(time.monotonic_ns())
        self._tell_pulse()

    def summary(self) -> dict[str, Any]:
        """Return counts as plain JSON values."""
        return {'bad_states': self._bad_states, 'last_bad_state': self._last_bad_state}

    def _on_chunk(self, message: Any) -> None:
        try:
            chunk = chunk_from(message)
        except ActionError as error:
            self._executor.drop_chunk(str(error))
            return
        self._executor.on_chunk(chunk, message.joint_names, self._node.now_ns())

    def _on_state(self, group: JointGroup, message: Any) -> None:
        try:
            values = joint_values(message, group)
        except ObservationError as error:
            self._bad_states += 1
            self._last_bad_state = str(error)
            return
        names = [joint.name for joint in group.joints]
        measured = dict(zip(names, values.tolist(), strict=True))
        self.measured.update(measured)
        self._executor.on_state(measured, self._node.now_ns())

    def _on_text(self, message: Any) -> None:
        self._executor.on_instruction(message.data, self._node.now_ns())

    def _on_heartbeat(self, _: Any) -> None:
        self._pulse.beat()
        self._tell_pulse()

    def _on_alive(self, count: int) -> None:
        if count:
            self._pulse.beat()
        else:
            self._pulse.gone()
        self._tell_pulse()

    def _tell_pulse(self) -> None:
        lost = self._pulse.lost
        if lost is not self._executor.policy_lost:
            self._executor.on_policy(self._node.now_ns(), alive=not lost)
            word = 'gone or stopped' if lost else 'back'
            self._node.get_logger().warning(f'the process of the policy is {word}')

    def _on_estop(self, message: Any) -> None:
        self.stop_requested = message.data
        if message.data and not self._executor.estopped:
            self._executor.estop('topic estop')
            self._node.get_logger().warning('emergency stop from the topic estop')
            self._node.publish_report()
