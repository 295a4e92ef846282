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
Samples to calibrate with: from recorded episodes, from a rosbag2 recording, or synthetic.

Observations of a bag are put together by the same code that serves the live policy, so the Hessian
sees what the robot will see. Episodes also hold what was done next, which the bags do not.
"""

from collections.abc import Iterable
from dataclasses import dataclass
import hashlib
from itertools import accumulate
from pathlib import Path

from hbvla_ros.core.episodes.episode import ReadConfig
from hbvla_ros.core.episodes.find import open_episodes, recording_kind, ROSBAG
from hbvla_ros.core.episodes.mapping import actions_after, ChunkShape, observation_at
from hbvla_ros.core.observation import Observation
from hbvla_ros.core.robot import RobotSpec
from hbvla_ros.core.scene import synthetic_observations
from hbvla_ros.quantize.recording import recorded_observations
from hbvla_ros.quantize.spread import spread
import numpy as np
from numpy.typing import NDArray
from PIL import Image

SYNTHETIC = 'synthetic'
_SHOWN = 320  # pixels


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """
    One observation to calibrate with, and what was done next where the recording tells.

    ``actions`` is ``float32 [chunk_size, A]`` in the units of the robot file, rows at the policy's
    time step (:func:`hbvla_ros.core.episodes.mapping.actions_after`), or None.
    """

    observation: Observation
    actions: NDArray[np.float32] | None = None


def load_calibration(
    source: str,
    robot: RobotSpec,
    count: int,
    seed: int,
    chunk: ChunkShape | None = None,
    config: ReadConfig | None = None,
) -> list[Sample]:
    """
    Return the calibration samples, spread evenly over all frames of the recording.

    :param source: ``synthetic``, an ``.hdf5`` or ``.npz`` episode, a folder of one kind of them,
        a LeRobot data set, or the folder of a rosbag2 recording
    :param robot: which cameras, joints and topics make an observation
    :param count: how many; a shorter recording gives fewer
    :param seed: of the synthetic scene; a recording is sampled without chance
    :param chunk: rows and time step of the policy; None leaves the actions out
    :param config: what episodes may not say, such as the instruction
    :raises CalibrationError: if the data are damaged, mixed, or don't fit the robot
    :raises ConfigError: if there is no recording or a package to read it is not installed
    """
    if source == SYNTHETIC:
        return [Sample(seen) for seen in synthetic_observations(robot, count, seed)]
    path = Path(source)
    if recording_kind(path) == ROSBAG:
        return [Sample(seen) for seen in recorded_observations(path, robot, count)]
    return _from_episodes(path, robot, count, chunk, config or ReadConfig())


def load_samples(source: str, robot: RobotSpec, count: int, seed: int) -> list[Observation]:
    """Return the observations of :func:`load_calibration` alone."""
    return [sample.observation for sample in load_calibration(source, robot, count, seed)]


def calibration_kind(source: str) -> str:
    """
    Return what a calibration source is: ``synthetic`` or a kind of recording.

    :raises CalibrationError: if it is neither
    """
    return SYNTHETIC if source == SYNTHETIC else recording_kind(Path(source))


def small_pictures(observation: Observation) -> dict[str, NDArray[np.uint8]]:
    """Return the pictures of an observation at most 320 pixels wide, for a page to show."""
    small = {}
    for camera, image in observation.images.items():
        picture = Image.fromarray(image)
        picture.thumbnail((_SHOWN, _SHOWN))
        small[camera] = np.asarray(picture)
    return small


def samples_hash(samples: Iterable[Sample | Observation]) -> str:
    """Return a SHA-256 over every pixel, joint value, instruction and recorded action."""
    digest = hashlib.sha256()
    for sample in samples:
        whole = sample if isinstance(sample, Sample) else Sample(sample)
        for camera, image in whole.observation.images.items():
            digest.update(f'{camera}{image.shape}'.encode())
            digest.update(image.tobytes())
        digest.update(whole.observation.state.tobytes())
        digest.update(whole.observation.instruction.encode())
        if whole.actions is not None:
            digest.update(f'actions{whole.actions.shape}'.encode())
            digest.update(whole.actions.tobytes())
    return digest.hexdigest()


def _from_episodes(
    path: Path, robot: RobotSpec, count: int, chunk: ChunkShape | None, config: ReadConfig
) -> list[Sample]:
    episodes = open_episodes(path, config)
    ends = list(accumulate(episode.length for episode in episodes))
    samples = []
    for position in spread(ends[-1], count):
        number = int(np.searchsorted(ends, position, side='right'))
        episode = episodes[number]
        index = position - (ends[number] - episode.length)
        actions = actions_after(episode, index, robot, chunk) if chunk is not None else None
        samples.append(Sample(observation_at(episode, index, robot), actions))
    return samples
