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

"""The task ``aloha_stack``: put one cube on the other and let it go."""

from hbvla_ros.evaluate.sim.expert import ABOVE_M, Course, FINE, GRASP_M, OPEN, Waypoint
from hbvla_ros.evaluate.sim.mjcf import CUBE_SIDE
from hbvla_ros.evaluate.sim.task import Scene, Task
from hbvla_ros.evaluate.sim.world import AlohaWorld, ARMS
import numpy as np

_CARRY_M = 0.10  # of the carried cube over where it lay, and over where it will lie
_REST_M_S = 0.02
_LEVEL_M = 0.01
_OVERHANG_M = CUBE_SIDE / 2


def instruction(scene: Scene) -> str:
    """Word the scene."""
    onto = scene.colours[scene.other]
    return f'put the {scene.colour} cube on the {onto} cube with the {ARMS[scene.arm]} arm'


def plan(world: AlohaWorld, scene: Scene) -> list[Waypoint]:
    """Grasp, carry, set down, let go, retreat, hold."""
    cube, arm = world.cube(scene.target), scene.arm
    place = world.cube(scene.other) + np.array([0, 0, CUBE_SIDE])
    course = Course().grasp(arm, cube)
    course.go(9, course.over(arm, cube, _CARRY_M + GRASP_M)).go(
        10, course.over(arm, place, _CARRY_M + GRASP_M)
    )
    course.go(9, course.over(arm, place, GRASP_M), slack=FINE).grip(4, arm, OPEN)
    return course.go(10, course.over(arm, place, ABOVE_M), slack=FINE).go(5).waypoints


def succeeded(world: AlohaWorld, scene: Scene) -> bool:
    """Tell whether the target rests on the other cube, which lies on the table, untouched."""
    offset = world.cube(scene.target) - world.cube(scene.other)
    on_top = abs(offset[2] - CUBE_SIDE) < _LEVEL_M and np.hypot(*offset[:2]) < _OVERHANG_M
    below = world.cube(scene.other)[2] < CUBE_SIDE / 2 + _LEVEL_M
    resting = max(world.cube_speed(k) for k in range(2)) < _REST_M_S
    held = any(world.touches(arm, scene.target) for arm in range(len(ARMS)))
    return bool(on_top and below and resting and not held)


ALOHA_STACK = Task('aloha_stack', 120, instruction, plan, succeeded)
