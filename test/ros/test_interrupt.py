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

"""Ctrl-C in the middle of a transition, which may take minutes."""

from hbvla_ros.ros.policy_node import PolicyNode
import pytest
from rclpy.parameter import Parameter

pytestmark = pytest.mark.ros


def test_a_node_interrupted_while_it_loads_can_still_be_closed(graph):
    def load(*_args, **_options):
        raise KeyboardInterrupt

    overrides = [Parameter('model_path', value='/somewhere')]
    node = graph.add(PolicyNode(loader=load, context=graph.context, parameter_overrides=overrides))
    with pytest.raises(KeyboardInterrupt):
        node.trigger_configure()
    node.close()
    assert node.state == 'finalized'
