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

"""Make-believe episodes as messages."""

from dataclasses import replace

from builders import robot
from hbvla_ros.core.bag import bag_topics, header_ns, read_bag
from hbvla_ros.core.decode import compressed_to_rgb, joint_values, to_rgb
from hbvla_ros.core.errors import ConfigError
from hbvla_ros.core.feed import recorded_inputs
from hbvla_ros.core.scene import Scene
from hbvla_ros.evaluate.synthetic import episode, EpisodeConfig, IMAGE_DELAY_NS, write_demo_bag
import numpy as np
import pytest


def of(messages, topic):
    return [(message, stamp_ns) for name, message, stamp_ns in messages if name == topic]


def test_equal_seeds_give_equal_recordings_and_others_differ(fast, short, tmp_path):
    for name, seed in (('one', 1), ('two', 1), ('three', 2)):
        write_demo_bag(tmp_path / name, fast, replace(short, seed=seed))
    one, two, three = (
        [(m.topic, m.stamp_ns, m.raw) for m in read_bag(tmp_path / name)]
        for name in ('one', 'two', 'three')
    )
    assert one == two
    assert one != three


@pytest.mark.parametrize('name', ['mobile_aloha', 'libero_panda'])
@pytest.mark.parametrize('compressed', [False, True])
def test_every_topic_of_the_robot_is_there_once(name, compressed):
    spec = robot(name)
    config = EpisodeConfig(seconds=0.1, size=(24, 32), compressed=compressed)
    topics = {topic.removeprefix('/') for topic, _, _ in episode(spec, config)}
    assert topics <= set(recorded_inputs(spec))
    assert len(topics) == len(spec.input_topics)


def test_messages_come_in_the_order_of_their_times(fast, short):
    stamps = [stamp_ns for _, _, stamp_ns in episode(fast, short)]
    assert stamps == sorted(stamps)


def test_rates_are_kept(fast, short):
    messages = list(episode(fast, replace(short, seconds=1.9)))
    for topic, count in (('/top/image', 19), ('/arm/states', 95), ('/instruction', 2)):
        assert len(of(messages, topic)) == count


def test_the_instruction_comes_first_and_again_each_second(fast, short):
    messages = list(episode(fast, replace(short, seconds=2.5, instruction='fold the towel')))
    assert messages[0][0] == '/instruction'
    assert [(m.data, ns) for m, ns in of(messages, '/instruction')] == [
        ('fold the towel', second * 10**9) for second in range(3)
    ]


def test_joints_travel_under_their_wire_names_and_in_the_robots_units(fast, short):
    scene = Scene(fast, short.seed, short.size)
    arm, hand = fast.states
    messages = list(episode(fast, short))
    (message, stamp_ns), *_ = of(messages, '/hand/states')[10:]
    assert message.name == ['finger']
    assert stamp_ns == header_ns(message) == 200_000_000
    share = scene.state(0.2)[1]
    assert message.position[0] == pytest.approx(0.5 + share)  # closed 0.5, open 1.5
    for group, topic, index in ((arm, '/arm/states', 0), (hand, '/hand/states', 1)):
        read = joint_values(of(messages, topic)[10][0], group)
        assert read[0] == pytest.approx(scene.state(0.2)[index], abs=1e-6)  # float32


def test_raw_pictures_show_the_scene_at_their_stamp(fast, short):
    scene = Scene(fast, short.seed, short.size)
    message, arrival_ns = of(episode(fast, short), '/side/image')[3]
    np.testing.assert_array_equal(to_rgb(message), scene.image('side', 0.3))
    assert header_ns(message) == 300_000_000
    assert arrival_ns == 300_000_000 + IMAGE_DELAY_NS


def test_compressed_pictures_show_nearly_the_same(fast, short):
    config = replace(short, compressed=True, size=(120, 160))
    scene = Scene(fast, config.seed, config.size)
    message, _ = of(episode(fast, config), '/top/image/compressed')[3]
    assert message.format == 'jpeg'
    difference = compressed_to_rgb(message).astype(int) - scene.image('top', 0.3)
    assert np.abs(difference).mean() < 8  # grain and halved colour resolution at quality 90


def test_a_recording_holds_the_whole_episode(fast, short, tmp_path):
    count = write_demo_bag(tmp_path / 'bag', fast, short, 'sqlite3')
    assert count == len(list(read_bag(tmp_path / 'bag'))) == 1 + 2 * 50 + 2 * 10
    assert bag_topics(tmp_path / 'bag')['/top/image'] == 'sensor_msgs/msg/Image'


@pytest.mark.parametrize(
    'change', [{'seconds': 0.0}, {'camera_hz': -1.0}, {'state_hz': 0.0}, {'size': (8, 640)}]
)
def test_an_episode_that_makes_no_sense_is_refused(change):
    with pytest.raises(ConfigError):
        EpisodeConfig(**change)
