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
MuJoCo with a way to draw that works on this machine.

MuJoCo chooses its OpenGL platform when it is first imported, from ``MUJOCO_GL``; a platform that
is not installed makes the import itself fail. So each is tried in a process of its own before.
Shadows, reflections and multisampling are off: they cost 15 times the rest.
"""

import os
import subprocess
import sys
from typing import Any

from hbvla_ros.core.errors import ConfigError
import numpy as np
from numpy.typing import NDArray

VARIABLE = 'MUJOCO_GL'
PLATFORMS = ('egl', 'osmesa')
NONE = 'disable'
HINT = (
    'the simulated cameras need OpenGL without a screen: apt-get install libegl1 libegl-mesa0 '
    'libgl1-mesa-dri (MUJOCO_GL=egl) or libosmesa6 (MUJOCO_GL=osmesa)'
)
_TRIAL = 'import mujoco; mujoco.GLContext(8, 8).make_current()'


def load_mujoco() -> Any:
    """
    Import MuJoCo with the first platform that can draw, or with none.

    A value of ``MUJOCO_GL`` set by the user stays. Physics work without any platform.

    :raises ConfigError: if MuJoCo is not installed or rejects the value of ``MUJOCO_GL``
    """
    if 'mujoco' not in sys.modules and VARIABLE not in os.environ:
        os.environ[VARIABLE] = choose_platform()
    try:
        import mujoco
    except ModuleNotFoundError as error:
        raise ConfigError(
            f'the simulator is not installed ({error}): pip install -r requirements/sim.txt'
        ) from error
    except (ImportError, RuntimeError, AttributeError) as error:
        raise ConfigError(
            f'MuJoCo can not be loaded with {VARIABLE}={os.environ.get(VARIABLE)}: {error}; {HINT}'
        ) from error
    return mujoco


def choose_platform() -> str:
    """Return the first of ``PLATFORMS`` with which a picture can be drawn, else ``NONE``."""
    return next((name for name in PLATFORMS if platform_works(name)), NONE)


def platform_works(name: str) -> bool:
    """
    Tell whether a fresh process can create a drawing context.

    :param name: a value of ``MUJOCO_GL``
    """
    command = [sys.executable, '-c', _TRIAL]
    environment = {**os.environ, VARIABLE: name}
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    return done.returncode == 0


class Painter:
    """Square pictures of one model; holds a drawing context until it is closed."""

    def __init__(self, model: Any, size: int) -> None:
        """
        Create the context.

        :param model: a ``mujoco.MjModel``, whose multisampling is switched off
        :param size: side of the pictures in pixels
        :raises ConfigError: if nothing can draw on this machine, saying what to install
        """
        self._mujoco = load_mujoco()
        model.vis.quality.offsamples = 0  # before the context exists, or it has no effect
        try:
            self._renderer = self._mujoco.Renderer(model, size, size)
        except Exception as error:  # each platform has its own
            raise ConfigError(
                f'no picture can be drawn with {VARIABLE}={os.environ.get(VARIABLE)} '
                f'({type(error).__name__}: {error}); {HINT}'
            ) from error

    def picture(self, data: Any, camera: str) -> NDArray[np.uint8]:
        """
        Draw what a camera sees.

        :param data: a ``mujoco.MjData`` of the model with current poses
        :param camera: a name in the model
        :return: ``uint8 [size, size, 3]`` RGB
        """
        self._renderer.update_scene(data, camera=camera)
        flags = self._renderer.scene.flags
        flags[self._mujoco.mjtRndFlag.mjRND_SHADOW] = 0
        flags[self._mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        picture: NDArray[np.uint8] = self._renderer.render()
        return picture

    def close(self) -> None:
        """Release the drawing context."""
        self._renderer.close()
