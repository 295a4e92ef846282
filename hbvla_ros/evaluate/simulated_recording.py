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
Demonstrations of the scripted expert as npz episodes, to calibrate with.

Tasks take turns, so a prefix of a long recording is a short one. Seeds are of their own: no
training and no evaluation uses them. The folder appears whole.
"""

from collections.abc import Iterator
from itertools import count, islice
import os
from pathlib import Path
import shutil
import tempfile
from typing import Any

from hbvla_ros.core.errors import ConfigError
from hbvla_ros.core.robot import RobotSpec
from hbvla_ros.evaluate.sim.demonstrations import Demonstration, demonstrations
from hbvla_ros.evaluate.sim.task import TASKS
from hbvla_ros.evaluate.sim.world import AlohaWorld
import numpy as np

FIRST_SEED = 600_000
SEEDS_PER_TASK = 10_000


def record_demonstrations(folder: Path, robot: RobotSpec, episodes: int) -> Iterator[int]:
    """
    Write episodes of all tasks; a folder that exists is taken as it is.

    :param folder: is created
    :param robot: names the cameras
    :param episodes: how many, failures not counted
    :return: after each episode, how many are there
    :raises ConfigError: if the simulator is not installed or can't draw
    """
    if folder.is_dir():
        return
    if not 1 <= episodes <= SEEDS_PER_TASK:
        raise ConfigError(f'1 .. {SEEDS_PER_TASK} episodes can be recorded, got {episodes}')
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f'.{folder.name}.', dir=folder.parent))
    world = AlohaWorld()
    try:
        for number, episode in enumerate(islice(_in_turn(world, robot), episodes)):
            _save(part / f'episode_{number}.npz', episode)
            yield number + 1
        os.rename(part, folder)
    finally:
        world.close()
        shutil.rmtree(part, ignore_errors=True)


def _in_turn(world: AlohaWorld, robot: RobotSpec) -> Iterator[Demonstration]:
    cameras = [camera.name for camera in robot.cameras]
    sources = [
        demonstrations(world, task, count(FIRST_SEED + number * SEEDS_PER_TASK), cameras)
        for number, task in enumerate(TASKS.values())
    ]
    while True:
        for source in sources:
            yield next(source)


def _save(path: Path, episode: Demonstration) -> None:
    arrays: dict[str, Any] = {f'images/{camera}': i for camera, i in episode.images.items()}
    arrays |= {'state': episode.state, 'action': episode.action}
    arrays |= {'instruction': episode.instruction, 'period_s': episode.period_s}
    np.savez_compressed(path, **arrays)
