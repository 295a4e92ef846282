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
Where a LeRobot data set keeps each episode: the ``meta`` folder of versions 2.x and 3.0.

Version 2 has one table and one video per episode. Version 3 puts several episodes into a file, one
after another, and lists in ``meta/episodes`` which file holds an episode and from when on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
import json
from pathlib import Path, PurePosixPath
from typing import Any

from hbvla_ros.core.episodes.packages import needed, reading
from hbvla_ros.core.errors import CalibrationError

WHAT = 'LeRobot data set'
INFO = 'meta/info.json'
VERSIONS = ('v2.0', 'v2.1', 'v3.0')
_V3_DATA = 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
_V3_VIDEO = 'videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4'
_V2_DATA = 'data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet'
_V2_VIDEO = 'videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4'


@dataclass(frozen=True, slots=True)
class Place:
    """
    Where one episode lies.

    ``data`` is the table with its rows, among those of others maybe. ``videos`` maps the key of a
    camera to the file and the time in it, in seconds, at which the episode begins.
    """

    index: int
    length: int
    tasks: tuple[str, ...]
    data: Path
    videos: Mapping[str, tuple[Path, float]]


def read_info(root: Path) -> dict[str, Any]:
    """
    Read the description of a data set.

    :param root: folder of the data set
    :raises CalibrationError: if it is damaged or of a version that we don't read
    """
    path = root / INFO
    with reading(path, WHAT):
        info: dict[str, Any] = json.loads(path.read_text(encoding='utf-8'))
        version = info['codebase_version']
        if version not in VERSIONS:
            raise CalibrationError(
                f'{path}: version {version!r} is not read; known: {", ".join(VERSIONS)}; convert '
                'it with the scripts of lerobot'
            )
        return info


def read_places(root: Path, info: Mapping[str, Any], video_keys: tuple[str, ...]) -> list[Place]:
    """
    List the episodes.

    :param root: folder of the data set
    :param info: what :func:`read_info` returned
    :param video_keys: features that are stored as video
    :raises CalibrationError: if a table of the ``meta`` folder is damaged or absent
    :raises ConfigError: if pyarrow is not installed
    """
    v3 = info['codebase_version'] == 'v3.0'
    with reading(root / 'meta', WHAT):
        rows = _v3_rows(root) if v3 else _v2_rows(root)
        place = _v3_place if v3 else _v2_place
        return [place(root, info, video_keys, row) for row in rows]


def _v2_rows(root: Path) -> Iterator[dict[str, Any]]:
    text = (root / 'meta' / 'episodes.jsonl').read_text(encoding='utf-8')
    return (json.loads(line) for line in text.splitlines() if line.strip())


def _v3_rows(root: Path) -> Iterator[dict[str, Any]]:
    parquet = needed('pyarrow.parquet', f'{root}: a {WHAT}')
    for path in sorted((root / 'meta' / 'episodes').rglob('*.parquet')):
        # Only this reader's columns: the statistics beside them are many times larger.
        names = [n for n in parquet.read_schema(path).names if not n.startswith('stats/')]
        yield from parquet.ParquetFile(path).read(columns=names).to_pylist()


def _v2_place(
    root: Path, info: Mapping[str, Any], keys: tuple[str, ...], row: Mapping[str, Any]
) -> Place:
    index = int(row['episode_index'])
    place = {'episode_index': index, 'episode_chunk': index // int(info['chunks_size'])}
    video = info.get('video_path') or _V2_VIDEO
    return Place(
        index=index,
        length=int(row['length']),
        tasks=_tasks(row),
        data=_inside(root, info.get('data_path') or _V2_DATA, place),
        videos={key: (_inside(root, video, {**place, 'video_key': key}), 0.0) for key in keys},
    )


def _v3_place(
    root: Path, info: Mapping[str, Any], keys: tuple[str, ...], row: Mapping[str, Any]
) -> Place:
    video = info.get('video_path') or _V3_VIDEO
    videos = {
        key: (
            _inside(root, video, {'video_key': key, **_file_of(row, f'videos/{key}')}),
            float(row[f'videos/{key}/from_timestamp']),
        )
        for key in keys
    }
    return Place(
        index=int(row['episode_index']),
        length=int(row['length']),
        tasks=_tasks(row),
        data=_inside(root, info.get('data_path') or _V3_DATA, _file_of(row, 'data')),
        videos=videos,
    )


def _file_of(row: Mapping[str, Any], what: str) -> dict[str, int]:
    return {name: int(row[f'{what}/{name}']) for name in ('chunk_index', 'file_index')}


def _tasks(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(task for task in row.get('tasks') or () if isinstance(task, str))


def _inside(root: Path, template: str, values: Mapping[str, Any]) -> Path:
    """Fill in a path of the description, which must not lead out of the data set."""
    path = PurePosixPath(template.format(**values))
    if path.is_absolute() or '..' in path.parts:
        raise CalibrationError(f'{root / INFO}: {template!r} leads out of the data set')
    return root / path
