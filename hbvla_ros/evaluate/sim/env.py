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
The tasks as gymnasium environments, with LeRobot's names for observations and attributes.

``gymnasium.make('hbvla_aloha/AlohaPick-v0')`` works once this module is imported. One control
step lasts 0.05 s. Pictures cost more than physics: ``render_every`` leaves them out of the steps
at which no policy looks, and :meth:`AlohaEnv.observe` draws them when asked.
"""

from collections.abc import Sequence
from typing import Any

from hbvla_ros.core.errors import ConfigError
from hbvla_ros.evaluate.sim.task import draw_scene, Scene, TASKS
from hbvla_ros.evaluate.sim.world import AlohaWorld, CAMERAS, Floats, PERIOD_S, SIZE
import numpy as np

try:
    import gymnasium
    from gymnasium.spaces import Box, Dict
except ModuleNotFoundError as error:
    raise ConfigError(
        f'the simulator is not installed ({error}): pip install -r requirements/sim.txt'
    ) from error

NAMESPACE = 'hbvla_aloha'


class AlohaEnv(gymnasium.Env[dict[str, Any], Floats]):
    """One task in a world of its own."""

    metadata = {'render_modes': ['rgb_array'], 'render_fps': round(1 / PERIOD_S)}  # noqa: RUF012

    def __init__(
        self,
        task: str = 'aloha_pick',
        *,
        cameras: Sequence[str] = CAMERAS[:1],
        image_size: int = 96,
        render_every: int = 1,
        render_mode: str = 'rgb_array',
    ) -> None:
        """
        Build the world.

        :param task: a name of ``TASKS``
        :param cameras: names of ``CAMERAS`` whose pictures are observed
        :param image_size: side of the pictures in pixels
        :param render_every: control steps between two drawings; the observations of the steps
            between repeat the last pictures. With 0 only :meth:`observe` draws, and ``reset`` and
            ``step`` return ``agent_pos`` alone
        :param render_mode: what :meth:`render` returns; only ``rgb_array``
        :raises ConfigError: for an unknown task or camera, or if the simulator is not installed
        """
        unknown = sorted(set(cameras) - set(CAMERAS))
        if unknown or not cameras:
            raise ConfigError(f'unknown cameras {unknown}; known: {", ".join(CAMERAS)}')
        if render_every < 0 or render_mode != 'rgb_array':
            raise ConfigError(
                f'render_every must be >= 0 and render_mode rgb_array, got {render_every} and '
                f'{render_mode!r}'
            )
        self._task = TASKS[task]
        self.task = task
        self.task_description = ''
        self._max_episode_steps = self._task.max_steps
        self.render_mode = render_mode
        self.world = AlohaWorld(image_size)
        self.scene: Scene | None = None
        self._cameras = tuple(cameras)
        self._every = render_every
        self._steps = 0
        self._pictures: dict[str, Any] = {}
        self.action_space = Box(-np.pi, np.pi, (SIZE,), np.float64)
        self.observation_space = self._space(image_size)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """
        Draw a new scene.

        :param seed: equal seeds give equal scenes, pictures and physics
        :param options: none are known
        :return: observation and info, which holds ``task_description``
        """
        super().reset(seed=seed, options=options)
        self.scene = draw_scene(self.np_random)
        self.world.reset(self.scene.colours, self.scene.positions)
        self.task_description = self._task.instruction(self.scene)
        self._steps = 0
        return self._observation(), self._info()

    def step(self, action: Floats) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """
        Follow one joint target for 0.05 s.

        :param action: absolute targets ``[14]`` in ALOHA's order, rad, grippers 0 .. 1
        :return: observation, reward (1 on success), terminated (success), truncated (too many
            steps) and info with ``is_success``
        :raises ActionError: unless the action is 14 finite values
        :raises ConfigError: before the first reset
        """
        if self.scene is None:
            raise ConfigError('the environment must be reset before its first step')
        self.world.step(action)
        self._steps += 1
        info = self._info()
        success: bool = info['is_success']
        over = self._steps >= self._max_episode_steps and not success
        return self._observation(), float(success), success, over, info

    def observe(self) -> dict[str, Any]:
        """Return ``{'pixels': {camera: uint8 [S, S, 3]}, 'agent_pos': float32 [14]}``, fresh."""
        self._pictures = {camera: self.world.image(camera) for camera in self._cameras}
        return {'pixels': dict(self._pictures), 'agent_pos': self.world.state()}

    def render(self) -> Any:
        """Return what the first camera sees, ``uint8 [S, S, 3]``."""
        return self.world.image(self._cameras[0])

    def close(self) -> None:
        """Release the drawing context."""
        self.world.close()

    def _observation(self) -> dict[str, Any]:
        if self._every and self._steps % self._every == 0:
            return self.observe()
        pixels = {'pixels': dict(self._pictures)} if self._every else {}
        return {**pixels, 'agent_pos': self.world.state()}

    def _info(self) -> dict[str, Any]:
        assert self.scene is not None
        success = self._task.succeeded(self.world, self.scene)
        return {'is_success': success, 'task_description': self.task_description}

    def _space(self, size: int) -> Dict:
        picture = Box(0, 255, (size, size, 3), np.uint8)
        state = Box(-np.inf, np.inf, (SIZE,), np.float32)
        pixels = {'pixels': Dict(dict.fromkeys(self._cameras, picture))} if self._every else {}
        return Dict({**pixels, 'agent_pos': state})


def register_environments() -> None:
    """Make every task known to ``gymnasium.make`` as ``hbvla_aloha/<Task>-v0``."""
    for task in TASKS:
        name = ''.join(part.capitalize() for part in task.split('_'))
        entry = f'{AlohaEnv.__module__}:{AlohaEnv.__qualname__}'
        # The environment counts its steps itself; a second limit would hide its own.
        gymnasium.register(f'{NAMESPACE}/{name}-v0', entry, kwargs={'task': task})


register_environments()
