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
The acceptance list of microsoft/physical-ai-toolchain issue 79, on the real policy node.

The list is quoted by content in ``doc/acceptance.md``. The network is a stand-in.
"""

import os
from pathlib import Path
import re
import signal
import subprocess
import sys
import time
from typing import Any

from builders import REPOSITORY, ROBOTS
from hbvla_ros.ros import qos
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from policy_bench import Bench
import pytest
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image, JointState
from stand_in import picture, StandIn
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

pytestmark = pytest.mark.ros


@pytest.fixture
def from_yaml(graph: Any, tmp_path: Path) -> Any:
    """Run the node as a process whose topics and model path come from YAML files alone."""
    text = (ROBOTS / 'mobile_aloha.yaml').read_text(encoding='utf-8')
    text = text.replace('cam_high/camera/color/image_rect_raw', 'lab/top_view')
    text = text.replace('follower_left/joint_states', 'lab/left_arm')
    (tmp_path / 'lab.yaml').write_text(text.replace('name: mobile_aloha', 'name: lab', 1))
    parameters = f"""
/**:
  ros__parameters:
    model_path: {tmp_path}
    robot: {tmp_path / 'lab.yaml'}
    default_instruction: wave
    inference_rate_hz: 10.0
    max_state_age_s: 1.0
"""
    (tmp_path / 'parameters.yaml').write_text(parameters)
    log = (tmp_path / 'log.txt').open('w')
    process = subprocess.Popen(
        [
            *(sys.executable, '-m', 'benchmarks.robustness.actors', 'policy', '--ros-args'),
            *('--params-file', str(tmp_path / 'parameters.yaml'), '--log-level', 'debug'),
        ],
        cwd=REPOSITORY,
        env={**os.environ, 'ROS_DOMAIN_ID': str(graph.domain)},
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    yield process, tmp_path / 'log.txt'
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)
    log.close()


def transition(graph: Any, number: int) -> None:
    request = ChangeState.Request(transition=Transition(id=number))
    assert graph.call(ChangeState, '/hbvla_policy/change_state', request).success


def test_topics_and_model_path_come_from_yaml_and_sigterm_stops_publishing_with_a_final_status(
    graph: Any, from_yaml: Any
) -> None:
    process, log = from_yaml
    chunks = graph.collect(JointTrajectory, '/hbvla_policy/action_chunk')
    status = graph.status('hbvla_policy')
    for number in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        transition(graph, number)
    names = ('lab/top_view', 'cam_left_wrist', 'cam_right_wrist')
    topics = [n if '/' in n else f'{n}/camera/color/image_rect_raw' for n in names]
    cameras = [graph.advertise(Image, topic, QoSProfile(depth=2)) for topic in topics]
    arms = [
        graph.advertise(JointState, t) for t in ('lab/left_arm', 'follower_right/joint_states')
    ]
    joints = [
        'waist',
        'shoulder',
        'elbow',
        'forearm_roll',
        'wrist_angle',
        'wrist_rotate',
        'gripper',
    ]

    def show() -> None:
        now_ns = graph.probe.get_clock().now().nanoseconds
        for arm in arms:
            message = JointState(name=joints, position=[0.1] * 7)
            message.header.stamp = graph.probe.get_clock().now().to_msg()
            arm.publish(message)
        for camera in cameras:
            camera.publish(picture(now_ns))

    graph.repeat(show, lambda: len(chunks) > 3, 'chunks')
    assert status()['state'] == 'active'
    process.send_signal(signal.SIGTERM)
    graph.repeat(show, lambda: process.poll() is not None, 'the end')
    count = len(chunks)
    for _ in range(10):
        show()
        graph.spin(5)

    assert process.returncode == 0
    assert len(chunks) == count
    text = log.read_text()
    assert re.search(r'final status: .*"chunks": \d', text)
    assert len(re.findall(r'inference took [\d.]+ ms\n', text)) >= 3  # every prediction is logged


def test_the_status_is_a_heartbeat(graph: Any) -> None:
    beats = graph.collect(String, '/hbvla_policy/status', qos.STATUS)
    bench = Bench(graph, diagnostics_period_s=0.05)
    graph.until(lambda: len(beats) >= 5, 'five beats of a node that does nothing')

    assert bench.status()['node'] == '/hbvla_policy'
    assert bench.status()['memory_mib'] > 1


def test_the_default_rates_are_those_of_the_documentation() -> None:
    from hbvla_ros.ros.settings import ExecutorParameters, PolicyParameters

    page = (REPOSITORY / 'doc' / 'acceptance.md').read_text(encoding='utf-8')
    assert f'`control_rate_hz` {ExecutorParameters().control_rate_hz:g}' in page
    assert f'`inference_rate_hz` {PolicyParameters().inference_rate_hz:g}' in page


def test_inference_above_the_period_is_warned_of_and_counted(
    graph: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    class Slow(StandIn):
        """Take three periods."""

        def infer(self, observation: Any) -> Any:
            time.sleep(0.03)
            return super().infer(observation)

    begun = time.monotonic()
    bench = Bench(graph, Slow(), inference_rate_hz=100.0).start()
    bench.chunk()
    bench.chunk()

    assert bench.now()['slow'] >= 2
    warnings = capfd.readouterr().err.count('longer than the 10.0 ms between two predictions')
    assert 1 <= warnings <= 1 + (time.monotonic() - begun) // 5  # at most one in five seconds
