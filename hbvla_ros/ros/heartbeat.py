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
The heartbeats of a policy.

They are sent by the thread that serves the node, in real time even where the node's time is
simulated: a process that is gone, stopped or stuck falls silent.
"""

from typing import Any

from hbvla_ros.ros import qos
from hbvla_ros.ros.managed_node import ManagedNode
from rclpy.clock import Clock, ClockType
from std_msgs.msg import Empty

_PERIOD_S = qos.LEASE_S / 6


class Heartbeat:
    """Publish ``~/heartbeat`` between start and stop."""

    def __init__(self, node: ManagedNode) -> None:
        """
        Prepare.

        :param node: publishes
        """
        self._node = node
        self._publisher: Any = None
        self._timer: Any = None

    def start(self) -> None:
        """Begin to beat."""
        self._publisher = self._node.create_publisher(
            Empty, '~/heartbeat', qos.heartbeat(qos.LEASE_S)
        )
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self._node.create_timer(_PERIOD_S, self._beat, clock=clock)

    def stop(self) -> None:
        """Fall silent; the middleware tells who listens at once."""
        if self._publisher is not None:
            self._node.destroy_timer(self._timer)
            self._node.destroy_publisher(self._publisher)
            self._publisher = self._timer = None

    def _beat(self) -> None:
        self._publisher.publish(Empty())
