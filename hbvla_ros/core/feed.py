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
Route recorded messages to the observation assembler, by topic, as the live node does.

One routing for calibration and for replay, so that both see what a robot would show. It decides
nothing about time: the caller chooses the timeline and passes the stamp.
"""

from hbvla_ros.core.bag import BagMessage, header_ns
from hbvla_ros.core.decode import compressed_to_rgb, joint_values, to_rgb
from hbvla_ros.core.latest import ObservationAssembler
from hbvla_ros.core.robot import RobotSpec

COMPRESSED = '/compressed'
IMAGE, STATE, INSTRUCTION, OTHER, LATE = 'image', 'state', 'instruction', 'other', 'late'


def sample_stamp(item: BagMessage, *, header: bool = True) -> int:
    """
    Return the time of a recorded message in nanoseconds.

    :param item: the message
    :param header: use the header stamp where there is one, else the time of recording
    """
    if header and hasattr(item.message, 'header'):
        return header_ns(item.message)
    return item.stamp_ns


def source_topic(topic: str) -> str:
    """
    Return the name under which a robot file knows a recorded topic.

    :param topic: maybe with a leading slash, and with ``/compressed`` as image_transport appends
    """
    return topic.strip('/').removesuffix(COMPRESSED)


def recorded_inputs(robot: RobotSpec) -> tuple[str, ...]:
    """Return the topics of a recording that make an observation, compressed images included."""
    return (*robot.input_topics, *(f'{camera.topic}{COMPRESSED}' for camera in robot.cameras))


def feed(
    assembler: ObservationAssembler, robot: RobotSpec, item: BagMessage, stamp_ns: int
) -> str:
    """
    Add one recorded message.

    :param assembler: takes the decoded value
    :param robot: says which topic is what
    :param item: the message
    :param stamp_ns: its time on the caller's timeline
    :return: ``image``, ``state`` or ``instruction``; ``late`` for a sample older than the one
        already there; ``other`` for a topic that the policy does not read
    :raises ObservationError: if the message can't be used
    """
    topic = source_topic(item.topic)
    for camera in robot.cameras:
        if camera.topic == topic:
            compressed = item.type_name.endswith('CompressedImage')
            image = (compressed_to_rgb if compressed else to_rgb)(item.message)
            return IMAGE if assembler.add_image(camera.name, image, stamp_ns) else LATE
    for group in robot.states:
        if group.topic == topic:
            values = joint_values(item.message, group)
            return STATE if assembler.add_state(topic, values, stamp_ns) else LATE
    if topic == robot.instruction_topic:
        assembler.set_instruction(item.message.data)
        return INSTRUCTION
    return OTHER
