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

"""The task ``aloha_pick``: lift the named cube, and no other, with the named arm."""

from hbvla_ros.evaluate.sim.expert import Course, Waypoint
from hbvla_ros.evaluate.sim.task import ON_TABLE_M, Scene, Task
from hbvla_ros.evaluate.sim.world import AlohaWorld, ARMS

LIFTED_M = 0.07
_LIFT_M = 0.14


def instruction(scene: Scene) -> str:
    """Word the scene."""
    return f'pick up the {scene.colour} cube with the {ARMS[scene.arm]} arm'


def plan(world: AlohaWorld, scene: Scene) -> list[Waypoint]:
    """Grasp the cube, lift it, hold it: 45 steps."""
    cube = world.cube(scene.target)
    course = Course().grasp(scene.arm, cube)
    return course.go(12, course.over(scene.arm, cube, _LIFT_M)).go(5).waypoints


def succeeded(world: AlohaWorld, scene: Scene) -> bool:
    """Tell whether the target is lifted and the other cube lies on the table."""
    lifted = world.cube(scene.target)[2] > LIFTED_M
    return bool(lifted and world.cube(scene.other)[2] < ON_TABLE_M)


ALOHA_PICK = Task('aloha_pick', 72, instruction, plan, succeeded)
