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
Write the expert's episodes in ALOHA's own format, one HDF5 file each.

``python -m benchmarks.train.demonstrate --task aloha_pick --episodes 32 --output FOLDER`` gives
what a robot's owner would bring for calibration. Pictures are stored raw: at this size the
recorder's JPEG would smear the cubes.
"""

import argparse
from itertools import count, islice
from pathlib import Path

from hbvla_ros.core.episodes.hdf5 import AlohaEpisode, write_aloha_episode
from hbvla_ros.evaluate.sim.demonstrations import Demonstration, demonstrations
from hbvla_ros.evaluate.sim.task import TASKS
from hbvla_ros.evaluate.sim.world import AlohaWorld

FIRST_SEED = 600_000  # between those of training and those of evaluation


def as_aloha(demonstration: Demonstration) -> AlohaEpisode:
    """Return a demonstration as what the writer stores."""
    return AlohaEpisode(
        images=demonstration.images,
        state=demonstration.state,
        action=demonstration.action,
        instruction=demonstration.instruction,
        period_s=demonstration.period_s,
    )


def main() -> None:
    """Write the episodes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--task', default='aloha_pick', choices=list(TASKS))
    parser.add_argument('--episodes', type=int, default=32)
    parser.add_argument('--seed', type=int, default=FIRST_SEED)
    parser.add_argument('--cameras', nargs='+', default=['cam_high'])
    parser.add_argument('--image-size', type=int, default=96)
    parser.add_argument('--output', type=Path, required=True)
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    world = AlohaWorld(given.image_size)
    found = demonstrations(world, TASKS[given.task], count(given.seed), given.cameras)
    for number, episode in enumerate(islice(found, given.episodes)):
        path = given.output / f'episode_{number}.hdf5'
        write_aloha_episode(path, as_aloha(episode), compressed=False)
        print(f'{path}: seed {episode.seed}, {len(episode.action)} steps, {episode.instruction}')
    world.close()


if __name__ == '__main__':
    main()
