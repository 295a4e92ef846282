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

"""What comes out over DDS is what the policy says about the recorded pictures, bit for bit."""

from dataclasses import replace
import os

from builders import robot
from hbvla_ros.bringup.graph import build_graph
from hbvla_ros.bringup.runner import GraphRunner
from hbvla_ros.core.bag import header_ns, message_type, read_bag, write_bag
from hbvla_ros.core.decode import compressed_to_rgb, joint_values
from hbvla_ros.core.feed import source_topic
from hbvla_ros.core.observation import Observation
from hbvla_ros.evaluate.synthetic import episode, EpisodeConfig
from hbvla_ros.policy.runner import load_policy
import numpy as np
import pytest

pytestmark = [pytest.mark.ros, pytest.mark.slow]
ALOHA = robot('mobile_aloha')
TRAJECTORY = 'trajectory_msgs/msg/JointTrajectory'
# At 10 Hz pictures of two instants are too far apart to be mixed.
EPISODE = EpisodeConfig(seconds=2.2, camera_hz=10.0, size=(48, 64), instruction='fold: the towel')


@pytest.fixture
def bag(tmp_path):
    """Record an episode whose joints stand still: DDS keeps no order between topics."""
    joint_state, first = message_type('sensor_msgs/msg/JointState'), {}

    def still(item):
        topic, message, stamp_ns = item
        if isinstance(message, joint_state):
            resting = first.setdefault(topic, message.position)
            message = replace(message, position=resting)
        return topic, message, stamp_ns

    write_bag(tmp_path / 'bag', map(still, episode(ALOHA, EPISODE)))
    return tmp_path / 'bag'


def recorded_observation(bag, stamp_ns):
    """Put together what the cameras saw at one instant."""
    images, joints = {}, {}
    for item in read_bag(bag):
        topic = source_topic(item.topic)
        for camera in ALOHA.cameras:
            if camera.topic == topic and header_ns(item.message) == stamp_ns:
                images[camera.name] = compressed_to_rgb(item.message)
        for group in ALOHA.states:
            if group.topic == topic:
                joints[topic] = joint_values(item.message, group)
    return Observation(
        images={camera.name: images[camera.name] for camera in ALOHA.cameras},
        state=np.concatenate([joints[group.topic] for group in ALOHA.states]),
        instruction=EPISODE.instruction,
        stamp_ns=stamp_ns,
    )


def test_chunks_over_dds_are_those_of_the_recorded_pictures(bag, tiny_run, domain, monkeypatch):
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    values = {
        'bag': str(bag),
        'robot': 'mobile_aloha',
        'model_path': str(tiny_run / 'artifact'),
        'image_transport': 'compressed',
    }
    with GraphRunner(build_graph('replay', values, os.environ), domain_id=domain) as runner:
        chunks, commands = [], []
        runner.listen('/hbvla_policy/action_chunk', TRAJECTORY, chunks.append)
        runner.listen('/follower_left/joint_command', TRAJECTORY, commands.append)
        runner.activate(timeout_s=60.0)
        player = runner.processes['hbvla_bag_player']
        assert player.wait(60.0)
        executor = runner.latest_status('hbvla_executor')
        results = runner.stop()
    assert {name: result.exit_code for name, result in results.items()} == dict.fromkeys(
        ('hbvla_policy', 'hbvla_executor', 'hbvla_bag_player'), 0
    )
    assert len(chunks) >= 3  # half a second apart
    assert commands == []  # a replay only computes
    assert executor['enabled']
    policy = load_policy(tiny_run / 'artifact', num_threads=1)
    for message in chunks:
        stamp_ns = header_ns(message)
        assert (stamp_ns - EPISODE.start_ns) % 100_000_000 == 0
        expected = policy.infer(recorded_observation(bag, stamp_ns))
        got = np.array([point.positions for point in message.points])
        # The node may use another number of threads: float32 sums in another order.
        np.testing.assert_allclose(got, expected.actions, atol=1e-4)
