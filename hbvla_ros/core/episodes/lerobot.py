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
Read LeRobot data sets, versions 2.x and 3.0, without the lerobot package.

Features used: ``observation.images.<camera>`` (or a lone ``observation.image``) as video or as
pictures in the table, ``observation.state`` and ``action``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hbvla_ros.core.decode import compressed_to_rgb
from hbvla_ros.core.episodes.episode import Episode, ReadConfig
from hbvla_ros.core.episodes.lerobot_meta import INFO, Place, read_info, read_places, WHAT
from hbvla_ros.core.episodes.packages import needed, reading
from hbvla_ros.core.episodes.video import frame_at
from hbvla_ros.core.errors import CalibrationError
import numpy as np
from numpy.typing import NDArray

_IMAGES, _LONE_IMAGE = 'observation.images.', 'observation.image'
_STATE, _ACTION, _TIME = 'observation.state', 'action', 'timestamp'
_PICTURES = ('image', 'video')  # how a feature with pixels is stored


@dataclass(frozen=True, slots=True)
class _Source:
    """The rows and pictures of one episode."""

    place: Place
    keys: Mapping[str, str]  # camera name to feature
    period_s: float
    has_action: bool

    def vectors(self) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return states and actions."""
        names = [_STATE, _ACTION] if self.has_action else [_STATE]
        rows = self._rows(names)
        with reading(self.place.data, WHAT):
            state = _matrix(rows[_STATE])
            return state, _matrix(rows[_ACTION]) if self.has_action else None

    def frame(self, camera: str, index: int) -> NDArray[np.uint8]:
        """Return one picture."""
        key = self.keys[camera]
        if key in self.place.videos:
            path, start_s = self.place.videos[key]
            stamp_s = float(self._rows([_TIME], index)[_TIME][0])
            return frame_at(path, start_s + stamp_s, self.period_s)
        picture = self._rows([key], index)[key][0]
        if not isinstance(picture, Mapping) or not picture.get('bytes'):
            raise CalibrationError(
                f'{self.place.data}: {key} holds no picture at frame {index}; embed the images '
                'into the table'
            )
        return compressed_to_rgb(SimpleNamespace(format=key, data=picture['bytes']))

    def _rows(self, names: list[str], index: int | None = None) -> dict[str, list[Any]]:
        """Return columns of this episode by name, in the order of time; maybe of one frame."""
        place = self.place
        parquet = needed('pyarrow.parquet', f'{place.data}: a {WHAT}')
        chosen: list[tuple[str, str, int]] = [('episode_index', '==', place.index)]
        if index is not None:
            chosen.append(('frame_index', '==', index))
        with reading(place.data, WHAT):
            table = parquet.read_table(
                place.data, columns=[*names, 'frame_index'], filters=chosen, partitioning=None
            ).sort_by('frame_index')
        expected = place.length if index is None else 1
        if table.num_rows != expected:
            raise CalibrationError(
                f'{place.data}: episode {place.index} should have {expected} rows here, '
                f'it has {table.num_rows}'
            )
        return {name: table[name].to_pylist() for name in names}


def read_lerobot_episodes(root: Path, config: ReadConfig) -> list[Episode]:
    """
    Open the episodes of a data set.

    :param root: the folder that holds ``meta/info.json``
    :param config: may replace the instruction
    :raises CalibrationError: if it is damaged, of another version, or lacks pictures or states
    :raises ConfigError: if pyarrow is not installed
    """
    info = read_info(root)
    with reading(root / INFO, WHAT):
        features: dict[str, Any] = info['features']
        keys = _cameras(features)
        if _STATE not in features or not keys:
            raise CalibrationError(
                f'{root}: a policy needs {_STATE} and {_IMAGES}<camera>; this data set has '
                f'{sorted(features)}'
            )
        period_s = 1 / float(info['fps'])
        names = {key: _dimension_names(features.get(key)) for key in (_STATE, _ACTION)}
        videos = tuple(key for key in keys.values() if features[key]['dtype'] == 'video')
    return [
        Episode(
            name=f'{root} episode {place.index}',
            cameras=tuple(keys),
            length=place.length,
            period_s=period_s,
            instruction=config.instruction or _task(root, place),
            source=_Source(place, keys, period_s, _ACTION in features),
            state_names=names[_STATE],
            action_names=names[_ACTION],
        )
        for place in read_places(root, info, videos)
    ]


def _cameras(features: Mapping[str, Any]) -> dict[str, str]:
    """Return camera name to feature."""
    return {
        key.removeprefix(_IMAGES).removeprefix('observation.'): key
        for key, feature in features.items()
        if (key.startswith(_IMAGES) or key == _LONE_IMAGE) and feature['dtype'] in _PICTURES
    }


def _dimension_names(feature: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the names of a vector's dimensions, or none where they are not one text each."""
    names = (feature or {}).get('names')
    if isinstance(names, Mapping) and len(names) == 1:
        (names,) = names.values()
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return tuple(names)
    return ()


def _task(root: Path, place: Place) -> str:
    if len(place.tasks) != 1:
        raise CalibrationError(
            f'{root}: episode {place.index} names the tasks {list(place.tasks)}, one text is '
            'needed; give the instruction yourself'
        )
    return place.tasks[0]


def _matrix(rows: list[Any]) -> NDArray[np.float32]:
    matrix = np.asarray(rows, dtype=np.float32)
    return matrix[:, None] if matrix.ndim == 1 else matrix
