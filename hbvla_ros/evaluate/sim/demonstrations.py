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
Episodes of the expert, disturbed and corrected, as a robot's owner would record them.

The arms start off their home pose and drift from the plan while they follow it; the recorded
action is the undisturbed plan, so a policy that learns from them steers back. Episodes that fail
are dropped. ``place_on_plan`` puts the arms on a plan without moving them there: many layouts at
little cost, for learning where to look.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hbvla_ros.core.errors import ConfigError
from hbvla_ros.evaluate.sim.expert import GRASP_M, PITCH, trajectory, Waypoint
from hbvla_ros.evaluate.sim.task import draw_scene, Scene, Task
from hbvla_ros.evaluate.sim.world import (
    AlohaWorld,
    CAMERAS,
    GRIPPERS,
    home_state,
    PERIOD_S,
    SIZE,
)
import numpy as np
from numpy.typing import NDArray

# Waist, shoulder, elbow, forearm_roll, wrist_angle, wrist_rotate, gripper.
_START = np.tile([1, 1, 1, 0.2, 1, 0.2, 0], 2)
HOLDING = 0.6  # what a gripper reads that holds a cube
_SLIP_M = 0.003

Floats = NDArray[np.float64]
Watch = Callable[[int, Scene], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """
    How far an episode leaves its plan.

    ``start_rad`` is the spread of the joints at the begin. Each step the drift keeps
    ``persistence`` of itself and gains noise of spread ``drift_rad``; a fine movement scales
    both down by its slack.
    """

    start_rad: float = 0.08
    drift_rad: float = 0.03
    persistence: float = 0.8

    def __post_init__(self) -> None:
        if min(self.start_rad, self.drift_rad) < 0 or not 0 <= self.persistence < 1:
            raise ConfigError(f'spreads must be >= 0 and persistence 0 .. 1, got {self}')

    def start(self, rng: np.random.Generator) -> Floats:
        """Return a disturbed home pose, ``[14]``."""
        return home_state() + _START * rng.normal(0, self.start_rad, SIZE)

    def drifts(self, waypoints: Sequence[Waypoint], rng: np.random.Generator) -> Iterator[Floats]:
        """Yield what is added to the plan at every control step, ``[14]``; grippers 0."""
        drift: Floats = np.zeros(SIZE)
        for waypoint in waypoints:
            for _ in range(waypoint.steps):
                noise = rng.normal(0, self.drift_rad, SIZE)
                drift = (self.persistence * drift + noise) * waypoint.slack
                drift[list(GRIPPERS)] = 0
                yield drift


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Demonstration:
    """
    One successful episode.

    ``images`` maps camera to ``uint8 [T, H, W, 3]``; ``state`` and ``action`` are
    ``float32 [T, 14]``; ``state[t]`` and the images of ``t`` are from before ``action[t]``.
    """

    images: Mapping[str, NDArray[np.uint8]]
    state: NDArray[np.float32]
    action: NDArray[np.float32]
    instruction: str
    seed: int
    period_s: float = PERIOD_S


def perform(
    world: AlohaWorld, task: Task, seed: int, disturbance: Disturbance, watch: Watch
) -> tuple[Floats, bool]:
    """
    Let the expert do a task once.

    :param world: is reset
    :param task: what to do
    :param seed: of the scene and of the disturbance
    :param disturbance: how far the arms leave the plan
    :param watch: called with the number of the step and the scene before every step
    :return: the undisturbed plan ``[T, 14]`` and whether the episode succeeded
    """
    scene = begin(world, seed)
    rng = np.random.default_rng([seed, 1])
    world.place_arms(disturbance.start(rng))
    waypoints = task.plan(world, scene)
    plan = trajectory(world.state().astype(np.float64), waypoints)
    for step, drift in enumerate(disturbance.drifts(waypoints, rng)):
        watch(step, scene)
        world.step(plan[step] + drift)
    return plan, task.succeeded(world, scene)


def begin(world: AlohaWorld, seed: int) -> Scene:
    """
    Reset a world to the scene of a seed, as the environment does.

    :param world: is reset
    :param seed: of the scene
    """
    scene = draw_scene(np.random.default_rng(seed))
    world.reset(scene.colours, scene.positions)
    return scene


def place_on_plan(
    world: AlohaWorld, plan: Floats, step: int, rng: np.random.Generator, spread_rad: float = 0.02
) -> None:
    """
    Put the arms near where a plan has them before a step, without moving them there.

    Valid until the grippers close; afterwards :func:`place_in_hand` must follow.

    :param world: with the scene of the plan
    :param plan: ``[T, 14]``
    :param step: at least 1
    :param rng: for the deviation
    :param spread_rad: of the joints from the plan
    """
    pose = plan[step - 1] + rng.normal(0, spread_rad, SIZE)
    pose[list(GRIPPERS)] = np.clip(pose[list(GRIPPERS)], HOLDING, 1)
    world.place_arms(pose)


def place_in_hand(world: AlohaWorld, scene: Scene, rng: np.random.Generator) -> None:
    """
    Put the target between the fingers of its arm, as after a grasp from the table.

    :param world: with the arm where it shall hold the cube
    :param scene: names arm and target
    :param rng: for the deviation of a real grasp
    """
    tip, axes = world.gripper(scene.arm)
    upright = axes @ _turn_down(-PITCH)
    slip = rng.normal(0, _SLIP_M, 3)
    slip[2] -= GRASP_M
    pose = world.state().astype(np.float64)
    world.place_cube(scene.target, tip + upright @ slip, upright)
    world.place_arms(pose)


def _turn_down(angle: float) -> Floats:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def demonstrations(
    world: AlohaWorld,
    task: Task,
    seeds: Iterable[int],
    cameras: Sequence[str] = CAMERAS[:1],
    disturbance: Disturbance | None = None,
) -> Iterator[Demonstration]:
    """
    Record the expert; seeds whose episode fails are passed over.

    :param world: is reset for every episode
    :param task: what to do
    :param seeds: one episode each
    :param cameras: what to draw at every step
    :param disturbance: none for the default
    """
    for seed in seeds:
        recorder = _Recorder(world, cameras)
        disturbed = disturbance or Disturbance()
        plan, success = perform(world, task, seed, disturbed, recorder.watch)
        if success:
            yield recorder.finish(plan, task, seed)


class _Recorder:
    """Collects what a world shows."""

    def __init__(self, world: AlohaWorld, cameras: Sequence[str]) -> None:
        self._world = world
        self._images: dict[str, list[NDArray[np.uint8]]] = {camera: [] for camera in cameras}
        self._states: list[NDArray[np.float32]] = []
        self._scene: Scene | None = None

    def watch(self, _step: int, scene: Scene) -> None:
        self._scene = scene
        self._states.append(self._world.state())
        for camera, frames in self._images.items():
            frames.append(self._world.image(camera))

    def finish(self, plan: Floats, task: Task, seed: int) -> Demonstration:
        assert self._scene is not None
        return Demonstration(
            images={camera: np.stack(frames) for camera, frames in self._images.items()},
            state=np.stack(self._states),
            action=plan.astype(np.float32),
            instruction=task.instruction(self._scene),
            seed=seed,
        )
