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
One recorded episode, whatever the format: numbers and pictures that are read when asked for.

An episode knows its units only as far as its writer kept to ours (rad, grippers 0 closed .. 1
open); it knows nothing of robots (``mapping.py``) or of other episodes.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
import re
from typing import Protocol

from hbvla_ros.core.errors import CalibrationError, ConfigError, ObservationError
from hbvla_ros.core.observation import check_image, check_instruction
import numpy as np
from numpy.typing import NDArray

MAX_VALUES = 100_000_000  # numbers in a table; larger claims are damage, not recordings
_SPLITS = ('train', 'val')  # folders that hold a part of a data set, not a task


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadConfig:
    """
    What the operator knows and the files may not say.

    ``instruction`` replaces the recorded one unless it is empty. ``bgr`` tells that the cameras of
    HDF5 files delivered bgr8. ``hdf5_period_s`` is the time step of HDF5 files that don't store
    theirs; ALOHA records at 50 Hz.
    """

    instruction: str = ''
    bgr: bool = False
    hdf5_period_s: float = 0.02

    def __post_init__(self) -> None:
        if not self.hdf5_period_s > 0:
            raise ConfigError(f'hdf5_period_s must be positive, got {self.hdf5_period_s}')


class Source(Protocol):
    """Reads one episode's file; keeps nothing open between calls."""

    def vectors(self) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return the states ``[T, S]`` and, where recorded, the actions ``[T, A]``."""

    def frame(self, camera: str, index: int) -> NDArray[np.uint8]:
        """Return one picture, ``uint8 [H, W, 3]`` RGB."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Episode:
    """
    A demonstration: at step ``t`` there were ``state[t]`` and the frames, then ``action[t]``.

    ``name`` is for messages. ``state_names`` and ``action_names`` are empty where the data don't
    name their columns.

    :raises CalibrationError: if the description makes no sense
    """

    name: str
    cameras: tuple[str, ...]
    length: int
    period_s: float
    instruction: str
    source: Source
    state_names: tuple[str, ...] = ()
    action_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.length > 0:
            raise CalibrationError(f'{self.name}: the episode has no frames')
        if not self.period_s > 0:
            raise CalibrationError(f'{self.name}: time step must be positive, is {self.period_s}')
        try:
            check_instruction(self.instruction)
        except ObservationError as error:
            raise CalibrationError(f'{self.name}: {error}') from error

    @property
    def state(self) -> NDArray[np.float32]:
        """
        Return the states, ``float32 [T, S]``.

        :raises CalibrationError: if they are not finite or not of this shape
        """
        return self._vectors[0]

    @property
    def action(self) -> NDArray[np.float32] | None:
        """
        Return the recorded actions, ``float32 [T, A]``, or None.

        :raises CalibrationError: if they are not finite or not of this shape
        """
        return self._vectors[1]

    def frame(self, camera: str, index: int) -> NDArray[np.uint8]:
        """
        Read one picture.

        :param camera: one of ``cameras``
        :param index: 0 .. ``length - 1``
        :return: ``uint8 [H, W, 3]`` RGB
        :raises CalibrationError: if there is no such picture or it can't be decoded
        """
        if camera not in self.cameras:
            raise CalibrationError(
                f'{self.name}: no camera {camera!r}; it has {list(self.cameras)}'
            )
        if not 0 <= index < self.length:
            raise CalibrationError(f'{self.name}: no frame {index}; it has {self.length}')
        try:
            image = self.source.frame(camera, index)
            check_image(camera, image)
        except ObservationError as error:
            raise CalibrationError(f'{self.name}: frame {index} of {camera}: {error}') from error
        return image

    @cached_property
    def _vectors(self) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        state, action = self.source.vectors()
        for what, table in (('state', state), ('action', action)):
            if table is not None:
                self._check_table(what, table)
        return state, action

    def _check_table(self, what: str, table: NDArray[np.float32]) -> None:
        if table.ndim != 2 or len(table) != self.length:
            raise CalibrationError(
                f'{self.name}: {what} must be [{self.length}, dimensions], is {table.shape}'
            )
        bad = np.argwhere(~np.isfinite(table))
        if bad.size:
            row, column = bad[0]
            raise CalibrationError(
                f'{self.name}: {what}[{row}, {column}] is {table[row, column]}; leave such '
                'episodes out'
            )


def choose_instruction(given: str, stored: str, folder: Path) -> str:
    """
    Return the instruction of an episode.

    :param given: by the operator; the first choice
    :param stored: in the file; the second choice
    :param folder: where the file lies; its name in words is the last one (``pick_up_cube``). The
        name of the folder above counts where this one is called ``train`` or ``val``
    :return: may be empty, which an :class:`Episode` refuses
    """
    path = folder.resolve()
    name = path.parent.name if path.name in _SPLITS else path.name
    return given.strip() or stored.strip() or re.sub(r'[_\W]+', ' ', name).strip()
