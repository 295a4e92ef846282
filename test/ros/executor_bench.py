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

"""A bench for the action executor node: the test plays the policy and the robot."""

import json
from typing import Any

from hbvla_ros.core.action import ActionChunk
from hbvla_ros.ros.action_executor_node import ActionExecutorNode
from hbvla_ros.ros.chunks import chunk_message
from hbvla_ros.ros.diagnostics import status_text
import numpy as np
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from stand_in import ALOHA, joint_state
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory

SUCCESS = TransitionCallbackReturn.SUCCESS
LEFT_OUT, RIGHT_OUT = (group.topic for group in ALOHA.outputs)


class Bench:
    """The node, with a policy and a robot around it that the test plays."""

    def __init__(
        self, graph: Any, *, active: bool = True, kind: Any = JointTrajectory, **parameters: Any
    ) -> None:
        self.graph = graph
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        self.node = graph.add(
            ActionExecutorNode(context=graph.context, parameter_overrides=overrides)
        )
        self.status = graph.status('hbvla_executor')
        self.sent = graph.collect(kind, LEFT_OUT, 100)
        assert self.node.trigger_configure() is SUCCESS
        self.states = {g: graph.advertise(JointState, g.topic) for g in ALOHA.states}
        self.chunks = graph.advertise(JointTrajectory, 'action_chunk')
        if active:
            assert self.node.trigger_activate() is SUCCESS
        graph.heard(LEFT_OUT)

    def now_ns(self) -> int:
        return int(self.graph.probe.get_clock().now().nanoseconds)

    def feel(self, value: float = 0.1) -> None:
        """Publish the state of both arms."""
        for group, publisher in self.states.items():
            publisher.publish(joint_state(group, self.now_ns(), value))

    def plan(self, target: float = 0.1, stamp_ns: int | None = None) -> None:
        """Publish a chunk whose rows are all alike."""
        rows = np.full((25, 14), target)
        stamp = self.now_ns() if stamp_ns is None else stamp_ns
        chunk = ActionChunk(actions=rows, stamp_ns=stamp, period_s=0.04)
        self.chunks.publish(chunk_message(chunk, ALOHA))

    def drive(self, target: float = 0.1) -> None:
        """Publish state and chunk together, as a running system does."""
        self.feel()
        self.plan(target)

    def ask(self, service: str = 'enable', *, on: bool = True) -> Any:
        return self.graph.call(SetBool, f'/hbvla_executor/{service}', SetBool.Request(data=on))

    def move(self, target: float = 0.1) -> None:
        """Enable motion and wait until commands flow."""
        assert self.ask().success
        count = len(self.sent)
        self.graph.repeat(lambda: self.drive(target), lambda: len(self.sent) > count, 'motion')

    def now(self) -> dict[str, Any]:
        """Return what the node would report at this instant; ``status`` is what has arrived."""
        values: dict[str, Any] = json.loads(status_text('', self.node._report()))
        return values

    def holds(self, reason: str) -> dict[str, Any]:
        """Wait until the robot is held for a reason."""
        self.graph.until(lambda: self.now()['hold'] == reason, f'the hold {reason}')
        return self.now()

    def stays_silent(self) -> None:
        """Check that no command comes during five control periods."""
        count, ticks = len(self.sent), []
        timer = self.graph.probe.create_timer(0.1, lambda: ticks.append(1))
        self.graph.until(lambda: ticks, 'five control periods')
        self.graph.probe.destroy_timer(timer)
        assert len(self.sent) == count
