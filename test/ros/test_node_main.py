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

"""The executables as real processes: signals, exit status, imports."""

from collections.abc import Iterator
import os
import signal
import subprocess
import sys
from typing import Any

from builders import REPOSITORY
from hbvla_ros.core.action import ActionChunk
from hbvla_ros.ros import qos
from hbvla_ros.ros.chunks import chunk_message
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
import numpy as np
import pytest
from sensor_msgs.msg import JointState
from stand_in import ALOHA, joint_state
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

pytestmark = pytest.mark.ros
EXECUTOR = 'hbvla_ros.ros.action_executor_node'
OUTPUT = ALOHA.outputs[0].topic


@pytest.fixture
def started(graph: Any) -> Iterator[Any]:
    """Return a function that starts an executable in the graph's domain."""
    processes = []

    def start(*program: str, parameters: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        arguments = [word for parameter in parameters for word in ('-p', parameter)]
        process = subprocess.Popen(
            [sys.executable, *program, '--ros-args', *arguments],
            cwd=REPOSITORY,
            env={**os.environ, 'ROS_DOMAIN_ID': str(graph.domain)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()


def change(graph: Any, node: str, transition: int) -> None:
    request = ChangeState.Request(transition=Transition(id=transition))
    assert graph.call(ChangeState, f'/{node}/change_state', request).success


def test_two_interrupts_send_the_safety_command_and_exit_with_0(graph: Any, started: Any) -> None:
    sent = graph.collect(JointTrajectory, OUTPUT, 100)
    process = started('-m', EXECUTOR, parameters=('enable_on_start:=true',))
    change(graph, 'hbvla_executor', Transition.TRANSITION_CONFIGURE)
    change(graph, 'hbvla_executor', Transition.TRANSITION_ACTIVATE)
    states = {group: graph.advertise(JointState, group.topic) for group in ALOHA.states}
    chunks = graph.advertise(JointTrajectory, 'action_chunk')

    def drive() -> None:
        now_ns = graph.probe.get_clock().now().nanoseconds
        for group, publisher in states.items():
            publisher.publish(joint_state(group, now_ns))
        # A target that is never reached: two equal commands can only come from the hold.
        rows = ActionChunk(actions=np.full((25, 14), 0.9), stamp_ns=now_ns, period_s=0.04)
        chunks.publish(chunk_message(rows, ALOHA))

    graph.repeat(drive, lambda: len(sent) > 2, 'motion')
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    graph.until(lambda: process.poll() is not None, 'the exit')
    output, _ = process.communicate()

    assert process.returncode == 0, output
    assert 'Traceback' not in output
    waist = [message.points[0].positions[0] for message in sent]
    assert waist[-1] == waist[-2]
    assert waist[-2] > waist[-3]


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_node_that_was_never_configured_exits_with_0(
    graph: Any, started: Any, number: int
) -> None:
    process = started('-m', 'hbvla_ros.ros.policy_node')
    graph.status('hbvla_policy')()
    process.send_signal(number)
    process.send_signal(number)
    graph.until(lambda: process.poll() is not None, 'the exit')

    assert process.returncode == 0, process.communicate()[0]


def test_a_parameter_out_of_range_ends_the_start_with_its_name(started: Any) -> None:
    process = started('-m', EXECUTOR, parameters=('control_rate_hz:=0.1',))
    output, _ = process.communicate(timeout=20)

    assert process.returncode == 1
    assert 'parameter control_rate_hz' in output
    assert 'Traceback' not in output


def test_an_impossible_job_ends_with_1_and_the_reason(started: Any, tmp_path: Any) -> None:
    missing = tmp_path / 'nothing'
    process = started(
        '-m',
        'hbvla_ros.ros.quantize_node',
        parameters=(f'checkpoint:={missing}', f'output:={tmp_path / "out"}'),
    )
    output, _ = process.communicate(timeout=60)

    assert process.returncode == 1
    assert str(missing) in output
    assert not (tmp_path / 'out').exists()


ENDLESS = """
import itertools, sys, threading
from hbvla_ros.quantize.job import QuantizeJob
from hbvla_ros.quantize.progress import Progress
from hbvla_ros.ros.node_main import run
from hbvla_ros.ros.quantize_node import QuantizeNode

def endless(job, robots):
    for k in itertools.count():
        threading.Event().wait(0.05)
        yield Progress(done=k, total=0, stage='quantize', detail='')

sys.exit(run(lambda: QuantizeNode(QuantizeJob, endless), interrupted=130))
"""


def test_an_interrupted_job_exits_with_130(graph: Any, started: Any) -> None:
    process = started('-c', ENDLESS, parameters=('checkpoint:=/in', 'output:=/out'))
    steps = graph.collect(String, '/hbvla_quantize/progress', qos.STATUS)
    graph.until(lambda: steps, 'a step')
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=20)

    assert process.returncode == 130, output
    assert 'interrupted before the job was done' in output
    assert 'Traceback' not in output


def test_the_executor_never_imports_torch() -> None:
    heavy = '[m for m in ("torch", "transformers") if m in sys.modules]'
    code = f'import sys, {EXECUTOR}; print({heavy})'
    result = subprocess.run(
        [sys.executable, '-c', code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )

    assert result.stdout.strip() == '[]'


def test_an_interrupt_that_rclpy_turns_into_another_error_still_ends_well(started: Any) -> None:
    code = """
import signal, sys
from hbvla_ros.ros.node_main import run
from rclpy.node import Node


class Masking(Node):
    exit_status = None

    def __init__(self):
        super().__init__('masking')
        self.create_timer(0.01, self.interrupted)

    def interrupted(self):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise RuntimeError('Unable to convert call argument') from None

    def close(self):
        print('closed in order', flush=True)


sys.exit(run(Masking, []))
"""
    process = started('-c', code)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    assert 'closed in order' in output
