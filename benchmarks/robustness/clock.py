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

"""The clock of a recording goes back to its begin, as when it is played in a loop."""

import time

from benchmarks.robustness.actors import ROBOT
from benchmarks.robustness.core import Reaction
from benchmarks.robustness.lab import EXECUTOR, Lab
from hbvla_ros.core.action import ActionChunk
from hbvla_ros.ros.chunks import chunk_message, time_message
import numpy as np
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rosgraph_msgs.msg import Clock

_STEP_NS = 20_000_000


def clock_jumps_back(domain: int) -> Reaction:
    """Play the time of a recording to the executor, and begin again."""
    lab = Lab(domain)
    clock = lab.node.create_publisher(Clock, '/clock', 10)
    try:
        lab.start(EXECUTOR)
        parameters = AsyncParameterClient(lab.node, EXECUTOR)
        lab.until(parameters.services_are_ready, 'the executor', 40.0)
        future = parameters.set_parameters([Parameter('use_sim_time', value=True)])
        lab.until(future.done, 'simulated time')
        lab.rouse(EXECUTOR)
        lab.enable()
        _play(lab, clock, 100_000_000_000, 60)
        moved = len(lab.commands) > 20
        time.sleep(0.2)
        count = len(lab.commands)
        for now_ns in range(1_000_000_000, 1_500_000_000, _STEP_NS):
            clock.publish(Clock(clock=time_message(now_ns)))
            time.sleep(0.01)
        quiet = len(lab.commands) == count
        lab.until(lambda: lab.status(EXECUTOR).get('clock_resets', 0) > 0, 'the reset')
        _play(lab, clock, 2_000_000_000, 60)
        return Reaction(ok=moved and quiet and len(lab.commands) > count + 20)
    finally:
        lab.close()


def _play(lab: Lab, clock: object, begin_ns: int, steps: int) -> None:
    rows = np.zeros((25, 14))
    rows[:, (6, 13)] = [lab.measured['left_gripper'], lab.measured['right_gripper']]
    for step in range(steps):
        now_ns = begin_ns + step * _STEP_NS
        clock.publish(Clock(clock=time_message(now_ns)))
        chunk = ActionChunk(actions=rows, stamp_ns=now_ns, period_s=0.04)
        lab.chunks.publish(chunk_message(chunk, ROBOT))
        time.sleep(0.02)
