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

"""The node that plays recordings."""

from dataclasses import replace
from itertools import pairwise
import struct
import time

from builders import robot
from hbvla_ros.core.bag import header_ns, message_type, read_bag, write_bag
from hbvla_ros.core.errors import ConfigError
from hbvla_ros.evaluate.synthetic import EpisodeConfig, IMAGE_DELAY_NS, write_demo_bag
from hbvla_ros.ros.bag_player import BagPlayerNode, restamped
from hypothesis import given
from hypothesis import strategies as st
import pytest
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String

pytestmark = pytest.mark.ros
PANDA = robot('libero_panda')
EPISODE = EpisodeConfig(
    seconds=0.3, camera_hz=20.0, state_hz=50.0, size=(24, 32), compressed=False, start_ns=10**18
)
DEEP = QoSProfile(depth=1000)
KINDS = {
    '/instruction': String,
    '/proprio': JointState,
    '/agentview/image_raw': Image,
    '/wrist/image_raw': Image,
}


@pytest.fixture
def bag(tmp_path):
    write_demo_bag(tmp_path / 'bag', PANDA, EPISODE)
    return tmp_path / 'bag'


@pytest.fixture
def play(graph):
    """Return a function that starts a player with the given parameters."""

    def start(bag, **parameters):
        values = {'bag': str(bag), 'wait_for_subscribers_s': 10.0, **parameters}
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        return graph.add(BagPlayerNode(context=graph.context, parameter_overrides=overrides))

    return start


@pytest.fixture
def listen(graph):
    """Return a function that subscribes to topics of the recording."""

    def subscribe(*topics):
        return {topic: graph.collect(KINDS[topic], topic, DEEP) for topic in topics or KINDS}

    return subscribe


def ended(graph, player):
    graph.until(lambda: player.exit_status is not None, 'the end of the recording')
    graph.spin(200)
    return player.exit_status


def test_every_message_arrives_unchanged_and_in_the_order_of_its_topic(graph, bag, play, listen):
    heard = listen()
    assert ended(graph, play(bag)) == 0
    recorded = {topic: [m.message for m in read_bag(bag, [topic])] for topic in KINDS}
    assert {topic: len(messages) for topic, messages in heard.items()} == {
        topic: len(messages) for topic, messages in recorded.items()
    }
    for topic in ('/agentview/image_raw', '/wrist/image_raw'):
        for got, sent in zip(heard[topic], recorded[topic], strict=True):
            assert header_ns(got) == header_ns(sent)
            assert got.data.tobytes() == sent.data.tobytes()
    assert [list(m.position) for m in heard['/proprio']] == [
        m.position.tolist() for m in recorded['/proprio']
    ]


def test_the_status_says_what_was_sent(graph, bag, play, listen):
    listen()
    status = graph.status('hbvla_bag_player')
    assert ended(graph, play(bag)) == 0
    graph.until(lambda: status()['message'].startswith('played'), 'the last status')
    assert status()['message'] == 'played 28 messages'
    assert status()['sent']['/wrist/image_raw'] == 6
    # 15 joint states at 50 Hz: the last one is due 280 ms after the first.
    assert 0.28 <= status()['wall_s'] < 3.0  # a busy machine is slower, never faster


def test_the_clock_leads_through_the_recording(graph, bag, play, listen):
    listen()
    clock = graph.collect(Clock, '/clock', DEEP)
    assert ended(graph, play(bag)) == 0
    times = [m.clock.sec * 10**9 + m.clock.nanosec for m in clock]
    recorded = [m.stamp_ns for m in read_bag(bag)]
    assert (times[0], times[-1]) == (recorded[0], recorded[-1])
    assert set(recorded) <= set(times)
    steps = [after - before for before, after in pairwise(times)]
    assert min(steps) >= 0
    assert max(steps) <= 5_000_000


def test_nothing_is_sent_before_everybody_listens(graph, bag, play, listen):
    heard = listen('/proprio', '/instruction', '/wrist/image_raw')
    player = play(bag)
    status = graph.status('hbvla_bag_player')
    graph.until(lambda: 'waiting' in status()['message'], 'a player that waits')
    graph.spin(20)
    assert not any(heard.values())
    assert "waiting for subscribers of ['/agentview/image_raw']" in status()['message']
    heard |= listen('/agentview/image_raw')
    assert ended(graph, player) == 0
    assert [len(heard[topic]) for topic in KINDS] == [1, 15, 6, 6]


def test_a_listener_that_never_comes_is_named_and_gives_status_1(graph, bag, play, listen, capfd):
    listen('/proprio')
    assert ended(graph, play(bag, wait_for_subscribers_s=0.1)) == 1
    error = capfd.readouterr().err
    assert 'nobody subscribed to' in error
    assert '/wrist/image_raw' in error


def test_chosen_topics_are_played_alone(graph, bag, play, listen):
    heard = listen()
    assert ended(graph, play(bag, topics=['proprio', '/instruction'])) == 0
    assert [len(heard[topic]) for topic in KINDS] == [1, 15, 0, 0]


@pytest.mark.parametrize(('rate', 'shortest_s'), [(0.5, 0.56), (2.0, 0.14)])
def test_the_rate_stretches_the_280_ms_of_joint_states(graph, bag, play, listen, rate, shortest_s):
    listen('/proprio')
    status = graph.status('hbvla_bag_player')
    assert ended(graph, play(bag, topics=['proprio'], rate=rate)) == 0
    graph.until(lambda: status()['message'].startswith('played'), 'the last status')
    assert shortest_s <= status()['wall_s'] < shortest_s + 0.4  # a busy machine is late


def test_restamping_moves_stamps_to_the_present_and_keeps_their_age(graph, bag, play, listen):
    heard = listen('/wrist/image_raw')
    before = time.time_ns()
    parameters = {'topics': ['wrist/image_raw'], 'publish_clock': False, 'restamp': True}
    assert ended(graph, play(bag, **parameters)) == 0
    after = time.time_ns()
    stamps = [header_ns(message) for message in heard['/wrist/image_raw']]
    assert before - IMAGE_DELAY_NS <= stamps[0] < stamps[-1] <= after - IMAGE_DELAY_NS
    assert stamps == sorted(stamps)


def test_playing_again_and_again_takes_time_back(graph, bag, play, listen):
    heard = listen('/proprio')
    clock = graph.collect(Clock, '/clock', DEEP)
    player = play(bag, topics=['proprio'], rate=4.0, loop=True)
    graph.until(lambda: len(heard['/proprio']) > 20, 'the second time')
    assert player.exit_status is None
    seconds = [m.clock.sec + m.clock.nanosec / 1e9 for m in clock]
    assert any(after < before for before, after in pairwise(seconds))


@pytest.mark.parametrize(
    ('parameters', 'words'),
    [
        ({'bag': ''}, 'parameter bag is empty'),
        ({'bag': '/no/such/folder'}, 'not a readable rosbag2 recording'),
        ({'topics': ['lidar']}, r"lacks \['lidar'\]; it has \['/agentview"),
        ({'restamp': True}, 'switch one of them off'),
        ({'rate': 0.0}, 'rate'),
    ],
)
def test_parameters_that_make_no_sense_are_refused_at_once(play, bag, parameters, words):
    with pytest.raises(ConfigError, match=words):
        play(**{'bag': bag, **parameters})


def test_a_message_type_that_is_not_installed_is_named(play, tmp_path, monkeypatch):
    text = message_type('std_msgs/msg/String')
    write_bag(tmp_path / 'other', [('/a', text('x'), 0)])
    monkeypatch.setattr(
        'hbvla_ros.ros.bag_player.bag_topics', lambda _path: {'/a': 'my_robot_msgs/msg/Mood'}
    )
    with pytest.raises(ConfigError, match='no messages my_robot_msgs/msg/Mood here'):
        play(tmp_path / 'other')


@given(
    seconds=st.integers(0, 2**31 - 1),
    nanoseconds=st.integers(0, 10**9 - 1),
    shift_ns=st.integers(-(10**18), 10**17),
    order=st.sampled_from('<>'),
)
def test_shifting_a_stamp_there_and_back_restores_the_bytes(seconds, nanoseconds, shift_ns, order):
    start_ns = seconds * 10**9 + nanoseconds
    if not 0 <= start_ns + shift_ns < 2**31 * 10**9:
        shift_ns = 0
    flag = b'\x00\x01' if order == '<' else b'\x00\x00'
    raw = flag + b'\x00\x00' + struct.pack(f'{order}iI', seconds, nanoseconds) + b'the rest'
    moved = restamped(raw, shift_ns)
    assert struct.unpack_from(f'{order}iI', moved, 4) == divmod(start_ns + shift_ns, 10**9)
    assert restamped(moved, -shift_ns) == raw


def test_restamped_bytes_are_the_message_with_another_stamp(bag):
    item = next(read_bag(bag, ['proprio']))
    moved = restamped(item.raw, 1_500_000_000)
    other = [('/proprio', replace_stamp(item.message, header_ns(item.message) + 1_500_000_000), 0)]
    write_bag(bag.parent / 'moved', other)
    assert moved == next(read_bag(bag.parent / 'moved')).raw


def replace_stamp(message, stamp_ns):
    stamp = replace(message.header.stamp, sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return replace(message, header=replace(message.header, stamp=stamp))


def test_a_stamp_before_1970_becomes_1970():
    raw = b'\x00\x01\x00\x00' + struct.pack('<iI', 1, 0)
    assert restamped(raw, -2 * 10**9)[4:] == bytes(8)
