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

"""The policy node over real middleware, with a policy that has no weights."""

from typing import Any

from hbvla_ros.ros.policy_node import PolicyNode
import pytest
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from stand_in import Robot, StandIn
from trajectory_msgs.msg import JointTrajectory

pytestmark = pytest.mark.ros
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
CHUNKS = '/hbvla_policy/action_chunk'


def make(graph: Any, policy: Any, **parameters: Any) -> PolicyNode:
    """Start the node with a stand-in policy."""
    values = {'model_path': '/models/stand_in', 'default_instruction': 'wave', **parameters}
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    return graph.add(
        PolicyNode(policy.load, context=graph.context, parameter_overrides=overrides)
    )


def start(graph: Any, policy: Any, **parameters: Any) -> tuple[PolicyNode, Robot]:
    """Start the node, make it active and connect a robot to it."""
    node = make(graph, policy, **parameters)
    assert node.trigger_configure() is SUCCESS
    assert node.trigger_activate() is SUCCESS
    policy.seen.clear()  # the warm-up
    return node, Robot(graph)


def test_smoke(graph: Any) -> None:
    policy = StandIn()
    chunks = graph.collect(JointTrajectory, CHUNKS)
    node, arms = start(graph, policy)
    graph.heard(CHUNKS)
    def go():
        arms.show(); graph.spin(5)
        return chunks
    graph.until(go, 'a chunk')
    status = graph.status('hbvla_policy')
    print(status())
