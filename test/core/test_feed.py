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

"""Recorded messages on their way to an observation."""

from types import SimpleNamespace as Message

from hbvla_ros.core.bag import BagMessage
from hbvla_ros.core.errors import ObservationError
from hbvla_ros.core.feed import feed, recorded_inputs, sample_stamp, source_topic
from hbvla_ros.core.latest import FreshnessConfig, ObservationAssembler
from hbvla_ros.core.observation import Observation
import pytest

HEADER = Message(stamp=Message(sec=2, nanosec=5))


def item(topic, message, type_name='some/msg/Type', stamp_ns=9):
    return BagMessage(topic, type_name, message, stamp_ns, b'')


def image(data=bytes(12)):
    return Message(header=HEADER, encoding='rgb8', height=2, width=2, step=6, data=data)


def joints(**positions):
    return Message(header=HEADER, name=list(positions), position=list(positions.values()))


@pytest.fixture
def assembler(tiny):
    return ObservationAssembler(tiny, FreshnessConfig())


def test_every_topic_of_the_robot_finds_its_place(tiny, assembler):
    stamp_ns = 10**9
    kinds = [
        feed(assembler, tiny, item(topic, message), stamp_ns)
        for topic, message in (
            ('/top/image', image()),
            ('/side/image', image()),
            ('/arm/states', joints(waist=0.1, grip=1.0)),
            ('/base/states', joints(wheel=0.3)),
            ('/instruction', Message(data='go')),
        )
    ]
    assert kinds == ['image', 'image', 'state', 'state', 'instruction']
    seen = assembler.assemble(stamp_ns)
    assert isinstance(seen, Observation)
    assert seen.state.tolist() == pytest.approx([0.1, 0.5, 0.3])


def test_what_is_older_is_late_and_what_nobody_reads_is_other(tiny, assembler):
    feed(assembler, tiny, item('/top/image', image()), 1000)
    assert feed(assembler, tiny, item('/top/image', image()), 999) == 'late'
    assert feed(assembler, tiny, item('/tf', Message()), 1000) == 'other'


def test_an_unusable_message_is_refused(tiny, assembler):
    with pytest.raises(ObservationError, match='image holds 11 bytes'):
        feed(assembler, tiny, item('/top/image', image(bytes(11))), 0)
    message = Message(header=HEADER, format='jpeg', data=b'')
    with pytest.raises(ObservationError, match='neither JPEG nor PNG'):
        feed(assembler, tiny, item('/top/image/compressed', message, 'x/CompressedImage'), 0)


@pytest.mark.parametrize(
    ('recorded', 'known'),
    [('/top/image', 'top/image'), ('top/image/compressed', 'top/image'), ('/a/b', 'a/b')],
)
def test_a_recorded_topic_is_known_by_the_name_in_the_robot_file(recorded, known):
    assert source_topic(recorded) == known


def test_compressed_images_are_inputs_too(tiny):
    assert set(recorded_inputs(tiny)) == {
        *tiny.input_topics, 'top/image/compressed', 'side/image/compressed',
    }  # fmt: skip


def test_the_time_of_a_message_is_its_header_or_its_arrival():
    assert sample_stamp(item('/top/image', image())) == 2_000_000_005
    assert sample_stamp(item('/top/image', image()), header=False) == 9
    assert sample_stamp(item('/instruction', Message(data='go'))) == 9
