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
Observations to calibrate with: from a rosbag2 recording, or synthetic.

Recorded ones are put together by the same code that serves the live policy, so the Hessian sees
what the robot will see.
"""

from collections.abc import Iterator, Sequence
import hashlib
from pathlib import Path

from hbvla_ros.core.bag import bag_topics, read_bag
from hbvla_ros.core.errors import CalibrationError, ObservationError
from hbvla_ros.core.feed import feed, IMAGE, recorded_inputs, sample_stamp, source_topic
from hbvla_ros.core.latest import FreshnessConfig, ObservationAssembler
from hbvla_ros.core.observation import Observation
from hbvla_ros.core.robot import RobotSpec
from hbvla_ros.core.scene import synthetic_observations

SYNTHETIC = 'synthetic'


def load_samples(source: str, robot: RobotSpec, count: int, seed: int) -> list[Observation]:
    """
    Return the calibration observations.

    :param source: ``synthetic`` or the folder of a rosbag2 recording
    :param robot: which topics make an observation
    :param count: how many; a recording is sampled evenly over its length
    :param seed: of the synthetic scene
    :raises CalibrationError: if the recording lacks a topic or holds no complete observation
    :raises ConfigError: if it is no recording
    """
    if source == SYNTHETIC:
        return synthetic_observations(robot, count, seed)
    path = Path(source)
    _check_topics(path, robot)
    stamps = [stamp for stamp, _ in _observations(path, robot, keep=None)]
    if not stamps:
        raise CalibrationError(
            f'{path}: no instant at which all cameras, joints and the instruction are fresh'
        )
    wanted = {round(i * (len(stamps) - 1) / max(count - 1, 1)) for i in range(count)}
    return [seen for _, seen in _observations(path, robot, keep=wanted) if seen is not None]


def samples_hash(samples: Sequence[Observation]) -> str:
    """Return a SHA-256 over every pixel, joint value and instruction."""
    digest = hashlib.sha256()
    for sample in samples:
        for camera, image in sample.images.items():
            digest.update(f'{camera}{image.shape}'.encode())
            digest.update(image.tobytes())
        digest.update(sample.state.tobytes())
        digest.update(sample.instruction.encode())
    return digest.hexdigest()


def _check_topics(path: Path, robot: RobotSpec) -> None:
    there = {source_topic(topic) for topic in bag_topics(path)}
    missing = [topic for topic in robot.input_topics if topic not in there]
    if missing:
        raise CalibrationError(
            f'{path} lacks {missing}, which robot {robot.name} needs; it has {sorted(there)}'
        )


def _observations(
    path: Path, robot: RobotSpec, keep: set[int] | None
) -> Iterator[tuple[int, Observation | None]]:
    """Yield (stamp, observation) per new instant; only those numbered in ``keep`` are built."""
    assembler = ObservationAssembler(robot, FreshnessConfig())
    number, last = 0, -1
    for message in read_bag(path, recorded_inputs(robot)):
        try:
            kind = feed(assembler, robot, message, sample_stamp(message))
        except ObservationError:
            continue  # what a live node would drop
        if kind != IMAGE:
            continue
        seen = assembler.assemble(message.stamp_ns)
        if not isinstance(seen, Observation) or seen.stamp_ns == last:
            continue
        last = seen.stamp_ns
        if keep is None or number in keep:
            yield seen.stamp_ns, None if keep is None else seen
        number += 1
