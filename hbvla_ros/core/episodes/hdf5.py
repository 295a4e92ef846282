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
Read and write ALOHA and Mobile ALOHA episodes: one HDF5 file each, pictures raw or as JPEG.

The recorder hands the camera's array to OpenCV's encoder, which takes it for BGR. An rgb8 camera
thus lies in the file with red and blue swapped, and decoding it *as BGR* returns the recorded RGB.
Layout: ``Interbotix/aloha`` and ``MarkFzp/mobile-aloha``, ``scripts/record_episodes.py``.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hbvla_ros.core.decode import MAX_SIDE
from hbvla_ros.core.episodes.episode import (
    choose_instruction,
    Episode,
    MAX_VALUES,
    ReadConfig,
)
from hbvla_ros.core.episodes.hdf5_attributes import attribute
from hbvla_ros.core.episodes.packages import needed, reading
from hbvla_ros.core.errors import CalibrationError, ConfigError
import numpy as np
from numpy.typing import NDArray

WHAT = 'ALOHA HDF5 episode'
STATE, ACTION, IMAGES = 'observations/qpos', 'action', 'observations/images'
_JPEG_QUALITY = 50  # the recorder's


@dataclass(frozen=True, slots=True)
class _Source:
    """The arrays of one file."""

    path: Path
    bgr: bool

    def vectors(self) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return states and actions."""
        with _opened(self.path) as file:
            return _table(self.path, file, STATE), (
                _table(self.path, file, ACTION) if ACTION in file else None
            )

    def frame(self, camera: str, index: int) -> NDArray[np.uint8]:
        """Return one picture as RGB."""
        with _opened(self.path) as file:
            row = np.asarray(file[IMAGES][camera][index])
        if row.ndim == 1:
            with reading(self.path, f'JPEG in frame {index} of {camera}'):
                return _decode(row.tobytes(), 'RGB' if self.bgr else 'BGR')
        return np.ascontiguousarray(row[..., ::-1]) if self.bgr else row


def read_aloha_episode(path: Path, config: ReadConfig) -> Episode:
    """
    Open an episode.

    :param path: the HDF5 file
    :param config: instruction, colour order and time step that the file may lack
    :raises CalibrationError: if it is damaged or no such recording
    :raises ConfigError: if h5py is not installed
    """
    with _opened(path) as file:
        missing = [name for name in (STATE, IMAGES) if name not in file]
        if missing:
            raise CalibrationError(
                f'{path}: not an {WHAT}: lacks {missing}; it holds {sorted(file)}'
            )
        length = int(file[STATE].shape[0])
        for camera, images in file[IMAGES].items():
            _check_images(path, camera, images, length)
        stored = attribute(path, file, 'instruction', '')
        text = stored.decode() if isinstance(stored, bytes) else str(stored)
        return Episode(
            name=str(path),
            cameras=tuple(file[IMAGES]),
            length=length,
            period_s=float(attribute(path, file, 'period_s', config.hdf5_period_s)),
            instruction=choose_instruction(config.instruction, text, path.parent),
            source=_Source(path, config.bgr),
        )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    h5py = needed('h5py', f'{path}: an {WHAT}')
    with reading(path, WHAT), h5py.File(path, 'r') as file:
        yield file


def _table(path: Path, file: Any, name: str) -> NDArray[np.float32]:
    shape = file[name].shape
    if len(shape) != 2 or np.prod(shape, dtype=float) > MAX_VALUES:
        raise CalibrationError(f'{path}: {name} must be [steps, dimensions], is {shape}')
    if file[name].dtype.kind not in 'fiu':
        raise CalibrationError(f'{path}: {name} must hold numbers, is {file[name].dtype}')
    return np.asarray(file[name][()], dtype=np.float32)


def _check_images(path: Path, camera: str, images: Any, length: int) -> None:
    shape = images.shape
    raw = len(shape) == 4 and shape[3] == 3 and max(shape[1:3]) <= MAX_SIDE
    if images.dtype != np.uint8 or not (raw or len(shape) == 2):
        raise CalibrationError(
            f'{path}: camera {camera} must be uint8 [T, H, W, 3], or [T, bytes] of JPEG, '
            f'is {images.dtype} {shape}'
        )
    if shape[0] != length:
        raise CalibrationError(f'{path}: {length} states, but {shape[0]} pictures of {camera}')


def _decode(data: bytes, order: str) -> NDArray[np.uint8]:
    """Decode a JPEG bit for bit like OpenCV; the decoder stops at the end mark, before padding."""
    import simplejpeg  # only recordings with compressed pictures need it

    height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    if max(height, width) > MAX_SIDE:
        raise CalibrationError(f'picture of {width}x{height} is larger than {MAX_SIDE}')
    picture: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, colorspace=order)
    return picture


@dataclass(frozen=True, eq=False, kw_only=True)
class AlohaEpisode:
    """
    What :func:`write_aloha_episode` stores; tables are ``float32 [T, dimensions]``.

    ``images`` maps camera to ``uint8 [T, H, W, 3]`` RGB. ``velocity``, ``effort`` and
    ``base_action`` are left out of the file where they were not measured, as the simulated
    recordings of ACT do.

    :raises CalibrationError: if the tables and pictures differ in length
    """

    images: Mapping[str, NDArray[np.uint8]]
    state: NDArray[np.float32]
    action: NDArray[np.float32]
    instruction: str
    period_s: float
    sim: bool = True
    velocity: NDArray[np.float32] | None = None
    effort: NDArray[np.float32] | None = None
    base_action: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        lengths = {name: len(table) for name, table in self.tables().items()}
        lengths |= {camera: len(frames) for camera, frames in self.images.items()}
        if not self.images or len(set(lengths.values())) != 1:
            raise CalibrationError(f'an episode needs cameras and equal lengths, got {lengths}')

    def tables(self) -> dict[str, NDArray[np.float32]]:
        """Return the tables that there are, by their place in the file."""
        tables = {
            STATE: self.state,
            'observations/qvel': self.velocity,
            'observations/effort': self.effort,
            ACTION: self.action,
            'base_action': self.base_action,
        }
        return {name: table for name, table in tables.items() if table is not None}


def write_aloha_episode(path: Path, episode: AlohaEpisode, *, compressed: bool = True) -> None:
    """
    Write an episode as the recorder of ALOHA does.

    The attributes ``instruction`` and ``period_s`` are ours; other readers pass over them.

    :param path: file to create; it must not exist
    :param episode: what to store
    :param compressed: JPEG in the recorder's quality and colour order, else raw pictures
    :raises ConfigError: if the file exists or h5py is not installed
    """
    if path.exists():
        raise ConfigError(f'{path} exists; a recording is never overwritten')
    h5py = needed('h5py', f'{path}: an {WHAT}')
    with h5py.File(path, 'x') as file:
        file.attrs['sim'] = episode.sim
        file.attrs['compress'] = compressed
        file.attrs['instruction'] = episode.instruction
        file.attrs['period_s'] = episode.period_s
        for name, table in episode.tables().items():
            file.create_dataset(name, data=table, dtype='f4')
        images = file.create_group(IMAGES)
        if compressed:
            coded = {name: _encode(frames) for name, frames in episode.images.items()}
            sizes = [[len(data) for data in rows] for rows in coded.values()]
            file.create_dataset('compress_len', data=sizes, dtype='f4')
            stored = {name: _padded(rows, np.max(sizes)) for name, rows in coded.items()}
        else:
            stored = dict(episode.images)
        for name, rows in stored.items():
            chunks = (1, *rows.shape[1:])
            images.create_dataset(name, data=rows, dtype='u1', chunks=chunks)


def _encode(frames: NDArray[np.uint8]) -> list[bytes]:
    import simplejpeg

    return [
        simplejpeg.encode_jpeg(
            np.ascontiguousarray(frame),
            quality=_JPEG_QUALITY,
            colorspace='BGR',  # what OpenCV takes every array for
            colorsubsampling='420',
            fastdct=False,
        )
        for frame in frames
    ]


def _padded(rows: list[bytes], width: int) -> NDArray[np.uint8]:
    padded = b''.join(data.ljust(width, b'\0') for data in rows)
    return np.frombuffer(padded, dtype=np.uint8).reshape(len(rows), width)
