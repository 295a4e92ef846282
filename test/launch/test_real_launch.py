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

"""The launch files under the real launch and launch_ros, where there is a ROS 2 installation."""

from importlib.util import find_spec
import json
import os
import signal
import subprocess
import sys

from builders import REPOSITORY
import pytest

pytestmark = [
    pytest.mark.ros,
    pytest.mark.skipif(
        find_spec('launch_ros') is None,
        reason='launch_ros is no wheel; source a ROS 2 installation',
    ),
]
DOMAIN = 1 + (os.getpid() * 17 + 30) % 101
LAUNCH = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
path, *words = sys.argv[1:]
source = PythonLaunchDescriptionSource(path)
arguments = [tuple(word.split(':=', 1)) for word in words]
service = LaunchService(argv=[])
service.include_launch_description(
    LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments)])
)
sys.exit(service.run())
"""


@pytest.fixture
def launched():
    """Return a function that runs a launch file in a process group of its own."""
    processes = []

    def start(graph, *words):
        environment = {
            **os.environ,
            'ROS_DOMAIN_ID': str(DOMAIN),
            'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        }
        path = REPOSITORY / 'launch' / f'{graph}.launch.py'
        command = [sys.executable, '-c', LAUNCH, str(path), *words]
        processes.append(
            subprocess.Popen(
                command,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        )
        return processes[-1]

    yield start
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)  # in order: shared memory is given back
            process.wait(timeout=30)
        process.stdout.close()
        process.wait()


@pytest.fixture
def statuses(monkeypatch):
    """Return a function that waits until the latched status of a node satisfies a condition."""
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from std_msgs.msg import String

    context = rclpy.Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    node = rclpy.create_node('probe', context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    profile = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)

    def known():
        # A topic may be there before the name of the node behind it.
        return {'/'.join([s.rstrip('/'), n]) for n, s in node.get_node_names_and_namespaces()}

    def wait(name, condition):
        seen = [{}]
        node.create_subscription(
            String, f'{name}/status', lambda m: seen.append(json.loads(m.data)), profile
        )
        for _ in range(600):  # of 50 ms
            if condition(seen[-1]) and name in known():
                return
            executor.spin_once(timeout_sec=0.05)
        pytest.fail(f'{name} never got there, last: {seen[-1]}')

    wait.node = node
    yield wait
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_nodes_are_configured_activated_and_end_cleanly_on_a_double_interrupt(launched, statuses):
    process = launched('policy', 'robot:=libero_panda', 'namespace:=cell')
    statuses('/cell/hbvla_executor', lambda status: status.get('state') == 'active')
    # Without a model the policy refuses, and stays where it is.
    statuses('/cell/hbvla_policy', lambda status: 'model_path' in status.get('message', ''))
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does: the nodes hear it twice
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    assert 'process has died' not in output


def test_remapped_topics_meet_inside_a_namespace(launched, statuses):
    choices = ('dry_run:=true', 'chunk_mode:=overlap_blend', 'pacing:=synchronous')
    launched('policy', 'robot:=ros2_control_example', 'namespace:=cell/left', *choices)
    statuses('/cell/left/hbvla_executor', lambda status: status.get('state') == 'active')
    heard = dict(
        statuses.node.get_subscriber_names_and_types_by_node('hbvla_executor', '/cell/left')
    )
    assert {
        '/cell/left/hbvla_policy/action_chunk',
        '/cell/left/hbvla_policy/heartbeat',
        '/cell/left/joint_states',
        '/cell/left/estop',
    } <= set(heard)
    sent = dict(
        statuses.node.get_publisher_names_and_types_by_node('hbvla_executor', '/cell/left')
    )
    assert '/cell/left/arm_controller/joint_trajectory' in sent


def test_a_job_that_fails_ends_the_launch(launched):
    process = launched('quantize')
    output, _ = process.communicate(timeout=60)
    assert 'exit code 1' in output
    assert 'checkpoint is needed' in output
