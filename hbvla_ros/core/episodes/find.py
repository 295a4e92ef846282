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

"""Tell what lies at a path and open the episodes there."""

from collections.abc import Callable, Sequence
from pathlib import Path
import re

from hbvla_ros.core.episodes.episode import Episode, ReadConfig
from hbvla_ros.core.episodes.hdf5 import read_aloha_episode
from hbvla_ros.core.episodes.lerobot import read_lerobot_episodes
from hbvla_ros.core.episodes.lerobot_meta import INFO
from hbvla_ros.core.episodes.npz import read_npz_episode
from hbvla_ros.core.errors import CalibrationError, ConfigError

HDF5, NPZ, LEROBOT, ROSBAG = 'ALOHA HDF5', 'npz', 'LeRobot', 'rosbag2'
_SUFFIXES = {'.hdf5': HDF5, '.h5': HDF5, '.npz': NPZ}
_MARKS = {INFO: LEROBOT, 'metadata.yaml': ROSBAG}
_READERS: dict[str, Callable[[Path, ReadConfig], Episode]] = {
    HDF5: read_aloha_episode,
    NPZ: read_npz_episode,
}


def recording_kind(path: Path) -> str:
    """
    Say what kind of recording a path is.

    :param path: an episode's file, a folder of such files, a LeRobot or a rosbag2 folder
    :return: ``ALOHA HDF5``, ``npz``, ``LeRobot`` or ``rosbag2``
    :raises ConfigError: if it is none of them
    :raises CalibrationError: if a folder mixes kinds
    """
    found = _found(path)
    if not found:
        names = sorted(entry.name for entry in path.iterdir())[:5] if path.is_dir() else []
        raise ConfigError(
            f'{path}: not a readable rosbag2 recording, nor ALOHA HDF5 (.hdf5, .h5), npz or '
            f'LeRobot episodes ({INFO}); it holds {names or "nothing"}'
        )
    if len(found) > 1:
        examples = ', '.join(f'{kind} ({files[0].name})' for kind, files in found.items())
        raise CalibrationError(f'{path} mixes {examples}; keep one kind per folder')
    return next(iter(found))


def open_episodes(path: Path, config: ReadConfig) -> list[Episode]:
    """
    Open all episodes at a path; numbers and pictures are read later, when asked for.

    :param path: an ``.hdf5`` or ``.npz`` file, a folder of one kind of them, or a LeRobot data set
    :param config: what the files may not say
    :return: at least one episode, in the order of the numbers in their names
    :raises CalibrationError: for a damaged file, a mixed folder, or an episode that lacks a camera
        which others have
    :raises ConfigError: if nothing is there or a package is not installed
    """
    kind = recording_kind(path)
    if kind == ROSBAG:
        raise CalibrationError(f'{path} is a {ROSBAG} recording: it has topics, no episodes')
    if kind == LEROBOT:
        episodes = read_lerobot_episodes(path, config)
    else:
        episodes = [_READERS[kind](file, config) for file in _found(path)[kind]]
    if not episodes:
        raise CalibrationError(f'{path}: the data set has no episodes')
    _check_cameras(episodes)
    return episodes


def _found(path: Path) -> dict[str, list[Path]]:
    """Return the kinds of recording at a path with their files."""
    found: dict[str, list[Path]] = {}
    for mark, kind in _MARKS.items():
        if (path / mark).is_file():
            found[kind] = [path / mark]
    files = path.iterdir() if path.is_dir() else [path]
    for file in sorted(files, key=_by_number):
        if file.suffix.lower() in _SUFFIXES and file.is_file():
            found.setdefault(_SUFFIXES[file.suffix.lower()], []).append(file)
    return found


def _by_number(path: Path) -> list[tuple[int, str]]:
    """Sort ``episode_2`` before ``episode_10``."""
    parts = re.findall(r'\d+|\D+', path.name)
    return [(int(part), '') if part.isdecimal() else (-1, part) for part in parts]


def _check_cameras(episodes: Sequence[Episode]) -> None:
    fullest = max(episodes, key=lambda episode: len(episode.cameras))
    for episode in episodes:
        for one, other in ((episode, fullest), (fullest, episode)):
            missing = sorted(set(other.cameras) - set(one.cameras))
            if missing:
                raise CalibrationError(
                    f'{one.name} lacks {missing}, which {other.name} has; all episodes need the '
                    'same cameras'
                )
