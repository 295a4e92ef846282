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

"""The policy node, the robot in front of it, and what it says."""

import json
from typing import Any

from hbvla_ros.ros.diagnostics import status_text
from hbvla_ros.ros.policy_node import PolicyNode
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from stand_in import Robot, StandIn
from trajectory_msgs.msg import JointTrajectory

CHUNKS = '/hbvla_policy/action_chunk'
SUCCESS = TransitionCallbackReturn.SUCCESS


class Bench:
    """The node, the robot in front of it, and what it says."""

    def __init__(self, graph: Any, policy: Any = None, **parameters: Any) -> None:
        self.graph = graph
        self.policy = policy or StandIn()
        values = {
            'model_path': '/models/stand_in',
            'default_instruction': 'wave',
            'inference_rate_hz': 1000.0,  # every new observation is due
            **parameters,
        }
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        self.node = graph.add(
            PolicyNode(self.policy.load, context=graph.context, parameter_overrides=overrides)
        )
        self.chunks = graph.collect(JointTrajectory, CHUNKS)
        self.status = graph.status('hbvla_policy')

    def start(self) -> 'Bench':
        """Make the node active and forget the warm-up."""
        assert self.node.trigger_configure() is SUCCESS
        assert self.node.trigger_activate() is SUCCESS
        self.policy.seen.clear()
        self.graph.heard(CHUNKS)
        self.robot = Robot(self.graph)
        return self

    def chunk(self) -> Any:
        """Show the world to the robot until a new chunk comes."""
        count = len(self.chunks)
        self.graph.repeat(self.robot.show, lambda: len(self.chunks) > count, 'a chunk')
        return self.chunks[-1]

    def now(self) -> dict[str, Any]:
        """Return what the node would report at this instant; ``status`` is what has arrived."""
        values: dict[str, Any] = json.loads(status_text('', self.node._report()))
        return values

    def says(self, condition: Any, what: str) -> dict[str, Any]:
        """Wait for a status of which something is true."""
        self.graph.repeat(self.node.publish_report, lambda: condition(self.status()), what)
        return self.status()
