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

"""Recordings: what is written is read, and damage is told from a bug."""

import random

from hbvla_ros.core.bag import (
    bag_topics,
    header_ns,
    message_type,
    read_bag,
    stamp,
    STORAGES,
    write_bag,
)
from hbvla_ros.core.errors import ConfigError
import numpy as np
import pytest

STEP_NS = 100_000_000


def messages(count=4):
    """Yield a joint state, an image and an instruction per step."""
    joint_state = message_type('sensor_msgs/msg/JointState')
    image = message_type('sensor_msgs/msg/Image')
    text = message_type('std_msgs/msg/String')
    for step in range(count):
        now, none = 10**18 + step * STEP_NS, np.zeros(0)
        position, data = np.array([0.1 * step]), np.full(48, step, np.uint8)
        yield '/joint_states', joint_state(stamp(now), ['a'], position, none, none), now
        picture = image(stamp(now, 'lens'), 4, 4, 'rgb8', 0, 12, data)
        yield '/camera/image', picture, now + 1
        yield '/instruction', text(f'step {step}'), now + 2


@pytest.fixture(params=STORAGES)
def bag(request, tmp_path):
    path = tmp_path / request.param
    write_bag(path, messages(), request.param)
    return path


def test_what_is_written_is_read_in_the_order_of_the_stamps(bag):
    read = list(read_bag(bag))
    assert [one.topic for one in read] == ['/joint_states', '/camera/image', '/instruction'] * 4
    assert [one.stamp_ns for one in read] == [stamp_ns for _, _, stamp_ns in messages()]
    joints, image, text = read[3:6]
    assert (joints.type_name, joints.message.name) == ('sensor_msgs/msg/JointState', ['a'])
    assert joints.message.position.tolist() == [0.1]
    assert (image.message.header.frame_id, bytes(image.message.data)) == ('lens', b'\x01' * 48)
    assert header_ns(image.message) == 10**18 + STEP_NS
    assert text.message.data == 'step 1'


def test_messages_written_out_of_order_are_read_in_order(tmp_path):
    for storage in STORAGES:
        write_bag(tmp_path / storage, reversed(list(messages())), storage)
        stamps = [one.stamp_ns for one in read_bag(tmp_path / storage)]
        assert stamps == sorted(stamps)


def test_both_storages_hold_the_same_bytes(tmp_path):
    for storage in STORAGES:
        assert write_bag(tmp_path / storage, messages(), storage) == 12
    one, two = ([(m.topic, m.raw) for m in read_bag(tmp_path / s)] for s in STORAGES)
    assert one == two


def test_topics_are_listed_with_their_types(bag):
    assert bag_topics(bag) == {
        '/joint_states': 'sensor_msgs/msg/JointState',
        '/camera/image': 'sensor_msgs/msg/Image',
        '/instruction': 'std_msgs/msg/String',
    }


def test_topics_are_chosen_with_or_without_a_leading_slash(bag):
    assert {m.topic for m in read_bag(bag, ['instruction'])} == {'/instruction'}
    assert {m.topic for m in read_bag(bag, ['/instruction', 'joint_states'])} == {
        '/instruction',
        '/joint_states',
    }


def test_a_topic_that_the_recording_lacks_gives_nothing(bag):
    assert list(read_bag(bag, ['no/such/topic'])) == []
    assert list(read_bag(bag, [])) == []


def test_bytes_alone_need_no_decoding(bag):
    raw = [m.raw for m in read_bag(bag, decode=False)]
    assert raw == [m.raw for m in read_bag(bag)]
    assert all(m.message is None for m in read_bag(bag, decode=False))


@pytest.mark.parametrize('stamp_ns', [0, 999_999_999, 1_000_000_000, 1_700_000_000_123_456_789])
def test_a_header_keeps_every_nanosecond(stamp_ns):
    message = message_type('sensor_msgs/msg/CompressedImage')(
        header=stamp(stamp_ns), format='', data=np.zeros(0, np.uint8)
    )
    assert header_ns(message) == stamp_ns


def test_a_recording_is_never_overwritten(bag):
    with pytest.raises(ConfigError, match='never overwritten'):
        write_bag(bag, messages())


def test_an_unknown_storage_lists_the_known_ones(tmp_path):
    with pytest.raises(ConfigError, match=r"unknown bag storage 'tape'; known: mcap, sqlite3"):
        write_bag(tmp_path / 'bag', messages(), 'tape')


@pytest.mark.parametrize('read', [lambda path: list(read_bag(path)), bag_topics])
def test_a_missing_or_empty_folder_is_named(tmp_path, read):
    for path in (tmp_path / 'missing', tmp_path):
        with pytest.raises(ConfigError, match=f'{path}: not a readable rosbag2 recording'):
            read(path)


def damaged(original, rng):
    """Return the bytes cut short, or with a few of them changed, or with a run of zeros."""
    data = bytearray(original)
    kind = rng.randrange(3)
    if kind == 0:
        return bytes(data[: rng.randrange(len(data))])
    start = rng.randrange(len(data))
    for place in range(start, min(len(data), start + (4 if kind == 1 else 64))):
        data[place] = rng.randrange(256) if kind == 1 else 0
    return bytes(data)


def outcome(read):
    """Return what a reader made of the bytes; anything but a ``ConfigError`` passes through."""
    try:
        read()
    except ConfigError as error:
        return str(error)
    return 'read'


def test_damage_is_a_config_error_and_never_anything_else(bag):
    rng = random.Random(0)
    outcomes = []
    for path in sorted(bag.iterdir()):
        original = path.read_bytes()
        for _ in range(50):
            path.write_bytes(damaged(original, rng))
            outcomes += [outcome(lambda: list(read_bag(bag))), outcome(lambda: bag_topics(bag))]
        path.write_bytes(original)
    refused = [text for text in outcomes if text != 'read']
    assert all(text.startswith(f'{bag}: not a readable') for text in refused)
    assert len(refused) > 60  # of 200; some damage hits bytes that nobody reads


def test_an_error_of_the_caller_is_not_taken_for_damage(bag):
    def consume():
        for _ in read_bag(bag):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        consume()
