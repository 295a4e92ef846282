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

"""The task ``aloha_handover``: take a cube with one arm and give it to the other in the air."""

import math

from hbvla_ros.evaluate.sim.expert import CLOSED, Course, FINE, GRASP_M, OPEN, Waypoint
from hbvla_ros.evaluate.sim.kinematics import reach_for
from hbvla_ros.evaluate.sim.task import ON_TABLE_M, Scene, Task
from hbvla_ros.evaluate.sim.world import AlohaWorld, ARMS
import numpy as np

MEETING_POINT = np.array([0.0, 0.5, 0.22])  # m, between the arms
_LIFT_M = 0.12
_BACK_M = 0.12  # of the taker before it comes for the cube
_PART_M = 0.12
_TAKER_PITCH = 0.0
_HELD_M = 0.12


def instruction(scene: Scene) -> str:
    """Word the scene."""
    giver, taker = ARMS[scene.arm], ARMS[1 - scene.arm]
    return f'hand the {scene.colour} cube from the {giver} arm to the {taker} arm'


def plan(world: AlohaWorld, scene: Scene) -> list[Waypoint]:
    """Grasp and lift, meet, take, let go, part."""
    cube, giver, taker = world.cube(scene.target), scene.arm, 1 - scene.arm
    away = np.array([(-1, 1)[taker], 0, 0])
    wait, take = (
        reach_for(taker, MEETING_POINT + back * away, _TAKER_PITCH, math.pi / 2)
        for back in (_BACK_M, 0.0)
    )
    meet = Course.over(giver, MEETING_POINT, GRASP_M)
    course = Course().grasp(giver, cube).go(8, Course.over(giver, cube, _LIFT_M))
    course.go(16, meet | {taker: wait}).go(9, {taker: take}, slack=FINE).grip(5, taker, CLOSED)
    course.grip(4, giver, OPEN).go(8, Course.over(giver, MEETING_POINT, _PART_M), slack=FINE)
    return course.go(4).waypoints


def succeeded(world: AlohaWorld, scene: Scene) -> bool:
    """Tell whether the other arm alone holds the target in the air."""
    held = world.touches(1 - scene.arm, scene.target) and world.cube(scene.target)[2] > _HELD_M
    left_alone = world.cube(scene.other)[2] < ON_TABLE_M
    return bool(held and left_alone and not world.touches(scene.arm, scene.target))


ALOHA_HANDOVER = Task('aloha_handover', 130, instruction, plan, succeeded)
