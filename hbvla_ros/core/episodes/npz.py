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
Read episodes in our plain layout: one ``.npz`` file each, written with ``numpy.savez``.

Keys: ``images/<camera>`` uint8 [T, H, W, 3] RGB, ``state`` [T, S], maybe ``action`` [T, A] (both
numbers, stored as float32 or float64), ``instruction`` (a text) and ``period_s`` (seconds).
Arrays of objects are refused: they would need pickle. A picture is read by seeking to it, so that
an episode never has to fit the memory.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, IO
import zipfile

from hbvla_ros.core.decode import MAX_SIDE
from hbvla_ros.core.episodes.episode import (
    choose_instruction,
    Episode,
    MAX_VALUES,
    ReadConfig,
)
from hbvla_ros.core.episodes.packages import reading
from hbvla_ros.core.errors import CalibrationError
import numpy as np
from numpy.typing import NDArray

WHAT = 'npz episode'
_IMAGES = 'images/'
_SUFFIX = '.npy'  # of every array in the archive


@dataclass(frozen=True, slots=True)
class _Header:
    """Shape and type that the array claims; ``start`` is the offset of its first byte."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    start: int


@dataclass(frozen=True, slots=True)
class _Source:
    """The arrays of one file."""

    path: Path

    def vectors(self) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return states and actions."""
        with reading(self.path, WHAT), zipfile.ZipFile(self.path) as archive:
            action = f'action{_SUFFIX}' in archive.namelist()
            return self._table(archive, 'state'), (
                self._table(archive, 'action') if action else None
            )

    def frame(self, camera: str, index: int) -> NDArray[np.uint8]:
        """Return one picture."""
        with reading(self.path, WHAT), zipfile.ZipFile(self.path) as archive:
            name = f'{_IMAGES}{camera}'
            header = _header(self.path, archive, name)
            shape = header.shape[1:]
            size = int(np.prod(shape))
            with archive.open(name + _SUFFIX) as member:
                member.seek(header.start + index * size)
                return np.frombuffer(member.read(size), dtype=np.uint8).reshape(shape).copy()

    def _table(self, archive: zipfile.ZipFile, name: str) -> NDArray[np.float32]:
        return _array(self.path, archive, name).astype(np.float32)


def read_npz_episode(path: Path, config: ReadConfig) -> Episode:
    """
    Open an episode.

    :param path: the npz file
    :param config: may replace the instruction
    :raises CalibrationError: if it is damaged, holds objects or lacks a key
    """
    with reading(path, WHAT), zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(_SUFFIX) for name in archive.namelist()]
        cameras = [name.removeprefix(_IMAGES) for name in names if name.startswith(_IMAGES)]
        missing = [name for name in ('state', 'period_s') if name not in names]
        if missing or not cameras:
            raise CalibrationError(
                f'{path}: not an {WHAT}: it needs state, period_s and {_IMAGES}<camera>, '
                f'it holds {names}'
            )
        shape = _header(path, archive, 'state').shape
        length = shape[0] if shape else 0
        for camera in cameras:
            _check_images(path, camera, _header(path, archive, f'{_IMAGES}{camera}'), length)
        stored = str(_array(path, archive, 'instruction')) if 'instruction' in names else ''
        return Episode(
            name=str(path),
            cameras=tuple(cameras),
            length=length,
            period_s=float(_array(path, archive, 'period_s')),
            instruction=choose_instruction(config.instruction, stored, path.parent),
            source=_Source(path),
        )


def _array(path: Path, archive: zipfile.ZipFile, name: str) -> NDArray[np.generic]:
    header = _header(path, archive, name)
    if np.prod(header.shape, dtype=float) * header.dtype.itemsize > 8 * MAX_VALUES:
        raise CalibrationError(f'{path}: {name} of {header.shape} is no table of an episode')
    with archive.open(name + _SUFFIX) as member:
        member.seek(header.start)
        return np.frombuffer(member.read(), dtype=header.dtype).reshape(header.shape)


def _header(path: Path, archive: zipfile.ZipFile, name: str) -> _Header:
    """Read what the array claims to be and hold it against the size in the archive."""
    with archive.open(name + _SUFFIX) as member:
        shape, fortran, dtype = _claims(member)
        start = member.tell()
    if dtype.hasobject:
        raise CalibrationError(
            f'{path}: {name} holds objects, which only pickle could read, and pickle is not '
            'trusted; store numbers or text'
        )
    if fortran:
        raise CalibrationError(
            f'{path}: {name} lies in column order; store numpy.ascontiguousarray of it'
        )
    held = archive.getinfo(name + _SUFFIX).file_size - start
    if held != np.prod(shape, dtype=float) * dtype.itemsize:
        raise CalibrationError(f'{path}: {name} claims {dtype} {shape}, but holds {held} bytes')
    return _Header(shape, dtype, start)


def _claims(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    npy: Any = np.lib.format  # numpy gives these functions no types
    old = npy.read_magic(member) == (1, 0)
    header = npy.read_array_header_1_0 if old else npy.read_array_header_2_0
    shape, fortran, dtype = header(member)
    return shape, fortran, dtype


def _check_images(path: Path, camera: str, header: _Header, length: int) -> None:
    shape = header.shape
    sides = shape[1:3]
    if header.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or max(sides) > MAX_SIDE:
        raise CalibrationError(
            f'{path}: {_IMAGES}{camera} must be uint8 [T, H, W, 3], is {header.dtype} {shape}'
        )
    if shape[0] != length:
        raise CalibrationError(f'{path}: {length} states, but {shape[0]} pictures of {camera}')
