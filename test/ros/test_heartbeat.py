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

"""The heartbeats of the policy and who listens to them, over real middleware."""

from typing import Any

from executor_bench import Bench as ExecutorBench
from hbvla_ros.ros.qos import heartbeat, LEASE_S
from policy_bench import Bench as PolicyBench
from policy_bench import SUCCESS
import pytest
from std_msgs.msg import Empty

pytestmark = pytest.mark.ros


def test_it_beats_while_it_is_active_though_simulated_time_stands_still(graph: Any) -> None:
    beats = graph.collect(Empty, '/hbvla_policy/heartbeat', heartbeat(LEASE_S))
    bench = PolicyBench(graph, use_sim_time=True).start()
    graph.until(lambda: len(beats) >= 3, 'three heartbeats')
    assert bench.node.trigger_deactivate() is SUCCESS
    graph.spin(20)
    count, ticks = len(beats), []
    timer = graph.probe.create_timer(2 * LEASE_S, lambda: ticks.append(1))
    graph.until(lambda: ticks, 'two leases')
    graph.probe.destroy_timer(timer)

    assert len(beats) == count


def test_a_policy_that_is_stuck_holds_though_the_middleware_says_it_lives(graph: Any) -> None:
    bench = ExecutorBench(graph)
    heart = graph.advertise(Empty, 'heartbeat', heartbeat(LEASE_S))
    bench.move()
    heart.publish(Empty())
    graph.repeat(bench.drive, lambda: bench.now()['hold'] == 'policy_lost', 'the hold')

    graph.repeat(
        lambda: heart.publish(Empty()), lambda: not bench.now()['policy_lost'], 'the return'
    )
    count = len(bench.sent)
    graph.repeat(
        lambda: (heart.publish(Empty()), bench.drive()), lambda: len(bench.sent) > count, 'motion'
    )
