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

"""A ROS graph of its own for each test: one context, one domain, one executor."""

from collections.abc import Callable, Iterator
import itertools
import json
import os
from pathlib import Path
import sys
import time
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests import ``stand_in``
_COUNTER = itertools.count()
_BURST = 10  # one call handles one callback; a robot publishes several messages at once


class Graph:
    """The nodes of one test, all spun by one executor in the test's own thread."""

    def __init__(self) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        # Processes that run side by side differ in their ids, tests of one process in the count.
        self.domain = 1 + (os.getpid() * 7 + next(_COUNTER)) % 101
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=self.domain)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._nodes: list[Any] = []
        self.probe = self.add(rclpy.create_node('probe', context=self.context))

    def add(self, node: Any) -> Any:
        """Spin a node with the others."""
        self._executor.add_node(node)
        self._nodes.append(node)
        return node

    def collect(self, message_type: Any, topic: str, profile: Any = 10) -> list[Any]:
        """Return a list that fills with the messages of a topic."""
        received: list[Any] = []
        self.probe.create_subscription(message_type, topic, received.append, profile)
        return received

    def advertise(self, message_type: Any, topic: str, profile: Any = 10) -> Any:
        """Return a publisher that somebody already listens to."""
        publisher = self.probe.create_publisher(message_type, topic, profile)
        self.until(lambda: publisher.get_subscription_count() > 0, f'a subscriber of {topic}')
        return publisher

    def heard(self, topic: str) -> None:
        """Wait until somebody publishes on a topic."""
        self.until(lambda: self.probe.count_publishers(topic) > 0, f'a publisher of {topic}')

    def status(self, node: str) -> Callable[[], dict[str, Any]]:
        """Return a function that gives the newest status of a node, waiting for the first."""
        from hbvla_ros.ros import qos
        from std_msgs.msg import String

        received = self.collect(String, f'/{node}/status', qos.STATUS)

        def newest() -> dict[str, Any]:
            self.until(lambda: received, f'a status of {node}')
            return json.loads(received[-1].data)

        return newest

    def call(self, service_type: Any, name: str, request: Any = None) -> Any:
        """Call a service and return its answer."""
        client = self.probe.create_client(service_type, name)
        self.until(client.service_is_ready, f'the service {name}')
        future = client.call_async(request or service_type.Request())
        self.until(future.done, f'an answer of {name}')
        return future.result()

    def until(self, condition: Callable[[], Any], what: str, timeout_s: float = 15.0) -> None:
        """Spin until something is true."""
        end = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > end:
                pytest.fail(f'waited {timeout_s:.0f} s for {what}')
            self._executor.spin_once(timeout_sec=0.02)
            for _ in range(_BURST):
                self._executor.spin_once(timeout_sec=0)

    def spin(self, times: int) -> None:
        """Handle what is ready, at most so many callbacks."""
        for _ in range(times):
            self._executor.spin_once(timeout_sec=0.001)

    def repeat(self, action: Callable[[], Any], until: Callable[[], Any], what: str) -> None:
        """Do something again and again, as a driver does, until something is true."""

        def step() -> Any:
            action()
            return until()

        self.until(step, what)

    def close(self) -> None:
        """Give everything back."""
        import rclpy

        self._executor.shutdown()
        for node in reversed(self._nodes):
            if hasattr(node, 'close'):
                node.close()
            node.destroy_node()
        rclpy.try_shutdown(context=self.context)


@pytest.fixture
def graph(monkeypatch: pytest.MonkeyPatch) -> Iterator[Graph]:
    """Return an empty graph that nothing else on this machine can see."""
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    world = Graph()
    yield world
    world.close()
