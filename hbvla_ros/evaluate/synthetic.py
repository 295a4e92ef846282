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
A make-believe episode as ROS messages: what a robot's drivers would publish during a task.

The scene comes from ``core.scene``; here it gets the topics, joint names and units of the robot
file, and rates and stamps like those of real drivers. Nothing depends on a clock or on ROS.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
import math
from pathlib import Path
from typing import Any

from hbvla_ros.core.bag import message_type, stamp, write_bag
from hbvla_ros.core.errors import ConfigError
from hbvla_ros.core.feed import COMPRESSED
from hbvla_ros.core.robot import JointGroup, RobotSpec
from hbvla_ros.core.scene import INSTRUCTION, Scene
import numpy as np
from numpy.typing import NDArray

IMAGE_DELAY_NS = 8_000_000  # a driver stamps a frame when it is exposed and sends it later
_SECOND_NS = 1_000_000_000
_JPEG_QUALITY = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeConfig:
    """
    How long an episode is, and what its drivers do.

    ``size`` is height and width of the images; ``compressed`` sends them as JPEG on
    ``<camera topic>/compressed``. ``start_ns`` is the stamp of the first message.
    """

    seconds: float = 4.0
    camera_hz: float = 30.0
    state_hz: float = 50.0
    size: tuple[int, int] = (480, 640)
    compressed: bool = True
    seed: int = 0
    instruction: str = INSTRUCTION
    start_ns: int = 1_750_000_000_000_000_000

    def __post_init__(self) -> None:
        for name in ('seconds', 'camera_hz', 'state_hz'):
            if not getattr(self, name) > 0:
                raise ConfigError(f'{name} must be positive, got {getattr(self, name)}')
        if min(self.size) < 16:
            raise ConfigError(f'images need at least 16 pixels a side, got {self.size}')


def episode(robot: RobotSpec, config: EpisodeConfig) -> Iterator[tuple[str, Any, int]]:
    """
    Yield ``(topic, message, stamp_ns)`` in the order in which they would be recorded.

    Joint states travel under their wire names and in the robot's units. The instruction comes
    first and once per second, so that a node that starts late hears it too.

    :param robot: whose cameras and joints to show
    :param config: rates, size and seed; equal values give equal messages
    :return: messages built with :func:`hbvla_ros.core.bag.message_type`
    """
    drivers = _drivers(robot, config)
    for arrival_ns, rank, offset_ns in sorted(_timetable(drivers, config.seconds)):
        driver = drivers[rank]
        message = driver.build(offset_ns / _SECOND_NS, config.start_ns + offset_ns)
        yield driver.topic, message, config.start_ns + arrival_ns


def write_demo_bag(
    path: Path, robot: RobotSpec, config: EpisodeConfig, storage: str = 'mcap'
) -> int:
    """
    Record an episode.

    :param path: folder to create; it must not exist
    :param robot: whose cameras and joints to show
    :param config: rates, size and seed
    :param storage: ``mcap`` or ``sqlite3``
    :return: the number of messages written
    :raises ConfigError: for an unknown storage or an existing folder
    """
    return write_bag(path, episode(robot, config), storage)


@dataclass(frozen=True, slots=True)
class _Driver:
    """One publisher: ``build`` makes the message of a time (s) and a stamp (ns)."""

    topic: str
    rate_hz: float
    delay_ns: int
    build: Callable[[float, int], Any]


def _drivers(robot: RobotSpec, config: EpisodeConfig) -> list[_Driver]:
    scene = Scene(robot, config.seed, config.size)
    picture, suffix = (_jpeg, COMPRESSED) if config.compressed else (_raw, '')

    def instruction(_time_s: float, _stamp_ns: int) -> Any:
        return message_type('std_msgs/msg/String')(config.instruction)

    def joints(group: JointGroup) -> Callable[[float, int], Any]:
        return lambda time_s, stamp_ns: _joint_state(group, robot, scene.state(time_s), stamp_ns)

    def image(name: str) -> Callable[[float, int], Any]:
        return lambda time_s, stamp_ns: picture(scene.image(name, time_s), stamp_ns, name)

    return [
        _Driver(f'/{robot.instruction_topic}', 1.0, 0, instruction),
        *(_Driver(f'/{g.topic}', config.state_hz, 0, joints(g)) for g in robot.states),
        *(
            _Driver(f'/{c.topic}{suffix}', config.camera_hz, IMAGE_DELAY_NS, image(c.name))
            for c in robot.cameras
        ),
    ]


def _timetable(drivers: Sequence[_Driver], seconds: float) -> Iterator[tuple[int, int, int]]:
    """Yield (arrival in ns since the start, number of the driver, stamp in ns since the start)."""
    for rank, driver in enumerate(drivers):
        for index in range(math.ceil(seconds * driver.rate_hz)):
            offset_ns = round(index * _SECOND_NS / driver.rate_hz)
            yield offset_ns + driver.delay_ns, rank, offset_ns


def _joint_state(
    group: JointGroup, robot: RobotSpec, state: NDArray[np.float32], stamp_ns: int
) -> Any:
    values = dict(zip(robot.state_names, state.tolist(), strict=True))
    return message_type('sensor_msgs/msg/JointState')(
        header=stamp(stamp_ns),
        name=[joint.wire for joint in group.joints],
        position=np.array([joint.to_wire(values[joint.name]) for joint in group.joints]),
        velocity=np.zeros(0),
        effort=np.zeros(0),
    )


def _raw(picture: NDArray[np.uint8], stamp_ns: int, frame: str) -> Any:
    height, width, channels = picture.shape
    return message_type('sensor_msgs/msg/Image')(
        header=stamp(stamp_ns, frame),
        height=height,
        width=width,
        encoding='rgb8',
        is_bigendian=0,
        step=width * channels,
        data=picture.reshape(-1),
    )


def _jpeg(picture: NDArray[np.uint8], stamp_ns: int, frame: str) -> Any:
    import simplejpeg  # like the decoder, only where pictures are compressed

    data = simplejpeg.encode_jpeg(picture, quality=_JPEG_QUALITY)
    return message_type('sensor_msgs/msg/CompressedImage')(
        header=stamp(stamp_ns, frame), format='jpeg', data=np.frombuffer(data, np.uint8)
    )
