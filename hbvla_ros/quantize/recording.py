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
Observations from a rosbag2 recording, put together as the live node does it.

The recording is read twice: once to count the instants at which an observation is complete, once
to pick. Only the pictures of the picked ones are decoded.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from hbvla_ros.core.bag import bag_topics, BagMessage, read_bag
from hbvla_ros.core.decode import compressed_to_rgb, to_rgb
from hbvla_ros.core.errors import CalibrationError, ObservationError
from hbvla_ros.core.feed import feed, recorded_inputs, sample_stamp, source_topic
from hbvla_ros.core.latest import FreshnessConfig, ObservationAssembler
from hbvla_ros.core.observation import Observation
from hbvla_ros.core.robot import RobotSpec
from hbvla_ros.quantize.spread import spread
import numpy as np

_UNSEEN = np.zeros((1, 1, 3), dtype=np.uint8)  # stands for a picture that is not decoded


@dataclass(frozen=True, slots=True, eq=False)
class _Instant:
    """An observation whose pictures are not decoded yet, and their messages by camera."""

    blind: Observation
    pictures: dict[str, BagMessage]

    def observation(self) -> Observation:
        """Decode the pictures; raise ObservationError if that fails."""
        images = {
            camera: (compressed_to_rgb if _is_compressed(item) else to_rgb)(item.message)
            for camera, item in self.pictures.items()
        }
        return replace(self.blind, images=images)


def recorded_observations(path: Path, robot: RobotSpec, count: int) -> list[Observation]:
    """
    Return observations spread evenly over the recording.

    :param path: folder of the recording
    :param robot: which topics make an observation
    :param count: how many; a shorter recording gives fewer. Where a picture does not decode, the
        next instant takes its place, since a live node would drop it too
    :raises CalibrationError: if the recording lacks a topic or holds no complete observation
    :raises ConfigError: if it is no recording
    """
    _check_topics(path, robot)
    wanted = spread(sum(1 for _ in _instants(path, robot)), count)
    chosen: list[Observation] = []
    problem = 'no instant at which all cameras, joints and the instruction are fresh'
    for number, instant in enumerate(_instants(path, robot)):
        if len(chosen) == len(wanted):
            break
        if number < wanted[len(chosen)]:
            continue
        try:
            chosen.append(instant.observation())
        except ObservationError as error:
            problem = f'no picture can be used: {error}'
    if not chosen:
        raise CalibrationError(f'{path}: {problem}')
    return chosen


def _check_topics(path: Path, robot: RobotSpec) -> None:
    there = {source_topic(topic) for topic in bag_topics(path)}
    missing = [topic for topic in robot.input_topics if topic not in there]
    if missing:
        raise CalibrationError(
            f'{path} lacks {missing}, which robot {robot.name} needs; it has {sorted(there)}'
        )


def _instants(path: Path, robot: RobotSpec) -> Iterator[_Instant]:
    """Yield every new instant at which an observation is complete."""
    assembler = ObservationAssembler(robot, FreshnessConfig())
    cameras = {camera.topic: camera.name for camera in robot.cameras}
    pictures: dict[str, BagMessage] = {}
    last = -1
    for item in read_bag(path, recorded_inputs(robot)):
        camera = cameras.get(source_topic(item.topic))
        if camera is None:
            _feed_numbers(assembler, robot, item)
            continue
        if not assembler.add_image(camera, _UNSEEN, sample_stamp(item)):
            continue
        pictures[camera] = item
        seen = assembler.assemble(item.stamp_ns)
        if isinstance(seen, Observation) and seen.stamp_ns != last:
            last = seen.stamp_ns
            yield _Instant(seen, {name: pictures[name] for name in seen.images})


def _feed_numbers(assembler: ObservationAssembler, robot: RobotSpec, item: BagMessage) -> None:
    try:
        feed(assembler, robot, item, sample_stamp(item))
    except ObservationError:
        return  # what a live node would drop


def _is_compressed(item: BagMessage) -> bool:
    return item.type_name.endswith('CompressedImage')
