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
A make-believe scene for any robot: smooth joint motion and pictures that follow it.

It stands in for recorded data where none exists (tests, demonstrations, a first calibration).
Every value is a function of the seed and of the time that is passed in, so two runs see the same
world. It knows nothing of messages or files, and what it shows means nothing to a trained policy.
"""

import math

from hbvla_ros.core.observation import Observation
from hbvla_ros.core.robot import ActionSpec, RobotSpec
import numpy as np
from numpy.typing import NDArray

INSTRUCTION = 'put the coloured square into the box'
_SPAN = 0.3  # share of half the range that the motion covers
_SPEED = 0.5  # share of max_velocity that the motion reaches


class Scene:
    """One world: call it with a time and it shows the joints and the cameras of that instant."""

    def __init__(self, robot: RobotSpec, seed: int, size: tuple[int, int] = (120, 160)) -> None:
        """
        Lay out the world.

        :param robot: whose cameras and joints to show
        :param seed: not negative; equal seeds show equal worlds
        :param size: height and width of every picture in pixels, at least 16 each
        """
        rng = np.random.default_rng(seed)
        actions = {action.name: action for action in robot.actions}
        ranges = [_range(actions.get(name)) for name in robot.state_names]
        lower, upper, speed = np.array(ranges, dtype=np.float64).reshape(-1, 3).T
        count = lower.size
        self._centre = (lower + upper) / 2
        self._omega = 2 * math.pi * rng.uniform(0.1, 0.4, count)  # rad/s
        self._phase = rng.uniform(0, 2 * math.pi, count)
        self._amplitude = np.minimum(_SPAN * (upper - lower) / 2, _SPEED * speed / self._omega)
        self._cameras = {camera.name: _View(rng, count, size) for camera in robot.cameras}

    def state(self, time_s: float) -> NDArray[np.float32]:
        """Return the joints ``[S]`` in the policy's units, inside the limits of their actions."""
        motion: NDArray[np.float64] = self._centre + self._amplitude * self._sine(time_s)
        return motion.astype(np.float32)

    def image(self, camera: str, time_s: float) -> NDArray[np.uint8]:
        """Return the picture of one camera, ``uint8 [H, W, 3]`` RGB, a copy."""
        return self._cameras[camera].picture(self._sine(time_s))

    def observation(self, time_s: float, instruction: str = INSTRUCTION) -> Observation:
        """Return what the policy would see at this instant."""
        return Observation(
            images={camera: self.image(camera, time_s) for camera in self._cameras},
            state=self.state(time_s),
            instruction=instruction,
            stamp_ns=round(time_s * 1e9),
        )

    def _sine(self, time_s: float) -> NDArray[np.float64]:
        sine: NDArray[np.float64] = np.sin(self._omega * time_s + self._phase)
        return sine


class _View:
    """A textured background and a square whose place is a fixed function of the joints."""

    def __init__(self, rng: np.random.Generator, joints: int, size: tuple[int, int]) -> None:
        height, width = size
        patch = max(2, min(height, width) // 10)
        coarse = rng.integers(60, 180, (-(-height // patch), -(-width // patch), 3))
        patches = coarse.repeat(patch, axis=0).repeat(patch, axis=1)[:height, :width]
        grain = rng.integers(-6, 7, (height, width, 3))
        self._background = (patches + grain).astype(np.uint8)
        self._colour = rng.permutation(np.array([240, 30, 30], dtype=np.uint8))
        self._side = max(4, min(height, width) // 6)
        self._place = rng.normal(size=(2, joints)) / max(1.0, math.sqrt(joints))

    def picture(self, sine: NDArray[np.float64]) -> NDArray[np.uint8]:
        image = self._background.copy()
        room = np.array(image.shape[:2]) - self._side
        top, left = np.rint((np.tanh(self._place @ sine) + 1) / 2 * room).astype(int)
        rows, columns = (slice(start, start + self._side) for start in (top, left))
        image[rows, columns] = self._colour
        return image


def _range(action: ActionSpec | None) -> tuple[float, float, float]:
    """Return where a joint may be and how fast it may go; joints without an action stay near 0."""
    if action is None:
        return -0.5, 0.5, 1.0
    return action.lower, action.upper, action.max_velocity


def synthetic_observations(
    robot: RobotSpec,
    count: int,
    seed: int,
    size: tuple[int, int] = (120, 160),
    instruction: str = INSTRUCTION,
) -> list[Observation]:
    """
    Look at ``count`` different scenes, one instant each.

    :param robot: whose cameras and joints to show
    :param count: how many observations
    :param seed: not negative; equal seeds give equal observations
    :param size: height and width of every picture in pixels
    :param instruction: the same for all of them
    :return: observations whose stamps are one second apart
    """
    seeds = np.random.default_rng(seed).integers(0, 2**31, count)
    return [
        Scene(robot, int(one), size).observation(float(index), instruction)
        for index, one in enumerate(seeds)
    ]
