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
What a task is: a scene drawn from a seed, an instruction, a plan of the expert and a success test.

A new task is one file beside this one and one line in ``TASKS``.
"""

from collections.abc import Callable
from dataclasses import dataclass

from hbvla_ros.core.registry import Registry
from hbvla_ros.evaluate.sim.expert import Waypoint
from hbvla_ros.evaluate.sim.mjcf import CUBES
from hbvla_ros.evaluate.sim.world import AlohaWorld, COLOURS
import numpy as np
from numpy.typing import NDArray

SPREAD_X = (-0.12, 0.12)
SPREAD_Y = (0.4, 0.6)
APART_M = 0.10
ON_TABLE_M = 0.05  # a cube whose centre is lower has not been lifted

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """
    One drawn situation.

    ``colours`` and ``positions`` (``[CUBES, 2]``, m) describe the cubes; ``target`` is the cube
    that is asked for, ``arm`` the arm that shall take it (0 left, 1 right).
    """

    colours: tuple[str, ...]
    positions: Floats
    target: int
    arm: int

    @property
    def other(self) -> int:
        """Return the number of the cube that is not the target."""
        return 1 - self.target

    @property
    def colour(self) -> str:
        """Return the colour of the target."""
        return self.colours[self.target]


@dataclass(frozen=True, slots=True)
class Task:
    """
    One task in the world.

    ``instruction`` words a scene. ``plan(world, scene)`` returns the expert's way from the present
    poses. ``succeeded(world, scene)`` looks at the present alone. ``max_steps`` counts control
    steps of ``PERIOD_S``.
    """

    name: str
    max_steps: int
    instruction: Callable[[Scene], str]
    plan: Callable[[AlohaWorld, Scene], list[Waypoint]]
    succeeded: Callable[[AlohaWorld, Scene], bool]


TASKS: Registry[Task] = Registry(
    'task',
    {
        'aloha_pick': 'hbvla_ros.evaluate.sim.pick:ALOHA_PICK',
        'aloha_stack': 'hbvla_ros.evaluate.sim.stack:ALOHA_STACK',
        'aloha_handover': 'hbvla_ros.evaluate.sim.handover:ALOHA_HANDOVER',
    },
)


def draw_scene(rng: np.random.Generator) -> Scene:
    """
    Draw colours, positions, target and arm, in this order.

    :param rng: equal states give equal scenes
    """
    names = list(COLOURS)
    colours = tuple(names[i] for i in rng.permutation(len(names))[:CUBES])
    positions = _draw_positions(rng)
    while np.linalg.norm(positions[0] - positions[1]) < APART_M:
        positions = _draw_positions(rng)
    return Scene(colours, positions, int(rng.integers(CUBES)), int(rng.integers(2)))


def _draw_positions(rng: np.random.Generator) -> Floats:
    return np.stack([rng.uniform(*SPREAD_X, CUBES), rng.uniform(*SPREAD_Y, CUBES)], 1)
