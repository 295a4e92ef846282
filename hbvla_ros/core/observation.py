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

"""What the policy sees at one instant."""

from collections.abc import Mapping
from dataclasses import dataclass

from hbvla_ros.core.errors import ObservationError
import numpy as np
from numpy.typing import NDArray

MAX_INSTRUCTION_CHARS = 512  # the prompt shares 2048 positions with up to 768 image patches


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Observation:
    """
    One consistent view of the world.

    ``images`` maps camera name to ``uint8 [H, W, 3]`` RGB, in the order of the robot file.
    ``state`` is ``float32 [S]`` in the units of the robot file (rad, grippers 0 closed .. 1 open).
    ``stamp_ns`` is the stamp of the oldest image.
    """

    images: Mapping[str, NDArray[np.uint8]]
    state: NDArray[np.float32]
    instruction: str
    stamp_ns: int

    def __post_init__(self) -> None:
        for camera, image in self.images.items():
            check_image(camera, image)
        if self.state.ndim != 1 or not np.isfinite(self.state).all():
            raise ObservationError(
                f'state must be a finite vector, got shape {self.state.shape}: {self.state}'
            )
        check_instruction(self.instruction)


def check_image(camera: str, image: NDArray[np.uint8]) -> None:
    """
    Refuse anything but a ``uint8 [H, W, 3]`` picture.

    :raises ObservationError: naming the camera and what came
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ObservationError(
            f'camera {camera}: expected uint8 [H, W, 3] RGB, got {image.dtype} {image.shape}'
        )


def check_instruction(text: str) -> str:
    """
    Return the instruction without surrounding white space.

    :param text: what the operator asked for
    :return: the same text, stripped
    :raises ObservationError: if it is empty or longer than ``MAX_INSTRUCTION_CHARS``
    """
    stripped = text.strip()
    if not stripped:
        raise ObservationError(
            'the instruction is empty; publish the task as text, for example '
            '"pick up the red cube"'
        )
    if len(stripped) > MAX_INSTRUCTION_CHARS:
        raise ObservationError(
            f'the instruction has {len(stripped)} characters, at most {MAX_INSTRUCTION_CHARS} fit '
            'the prompt; shorten it'
        )
    return stripped
