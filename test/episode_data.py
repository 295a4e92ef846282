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
Tiny recordings in the formats that users bring; import as ``from episode_data import ...``.

The colour of a picture names its episode and frame, so that a wrong frame shows.
"""

from fractions import Fraction
import json
import os
from pathlib import Path

import av
import cv2
from hbvla_ros.core.episodes.hdf5 import AlohaEpisode
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FPS = 10
CAMERAS = ('cam_high', 'cam_left_wrist', 'cam_right_wrist')
LENGTHS = (4, 6, 5)  # frames of the three episodes that the LeRobot writers make
TASKS = ('pick up the cube', 'open the drawer', 'pick up the cube')
NAMES = [f'joint_{j}' for j in range(14)]
STEP = 8  # grey levels from one frame to the next; codecs err by two or three


def level(episode: int, index: int) -> int:
    """Return the red value of a frame."""
    return 10 + STEP * (10 * episode + index)


def paint(episode: int, index: int, camera: int = 0) -> np.ndarray:
    """Return ``uint8 [64, 96, 3]`` RGB in one colour; green tells the camera, blue is dark."""
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:] = level(episode, index), 60 * camera, 20
    return picture


def state_of(episode: int, length: int, width: int = 14) -> np.ndarray:
    """Return states whose values name episode, step and joint."""
    steps, joints = np.arange(length)[:, None], np.arange(width)[None]
    return (episode + steps / 10 + joints / 1000).astype(np.float32)


def demonstration(episode: int = 0, length: int = 5, **changes: object) -> AlohaEpisode:
    """Return an ALOHA episode; the action is the state plus one."""
    state = state_of(episode, length)
    values = {
        'images': {
            camera: np.stack([paint(episode, t, number) for t in range(length)])
            for number, camera in enumerate(CAMERAS)
        },
        'state': state,
        'action': state + 1,
        'instruction': 'pick up the cube',
        'period_s': 0.02,
        **changes,
    }
    return AlohaEpisode(**values)


def write_npz(path: Path, demo: AlohaEpisode, **changes: object) -> None:
    """Write the same episode in the plain layout; a change to None leaves the key out."""
    arrays = {
        **{f'images/{camera}': frames for camera, frames in demo.images.items()},
        'state': demo.state,
        'action': demo.action,
        'instruction': demo.instruction,
        'period_s': demo.period_s,
        **changes,
    }
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})


def write_lerobot(root: Path, version: str, *, codec: str = 'libx264', video: bool = True) -> Path:
    """Write the three episodes as version ``v2.1`` or ``v3.0``; without video as PNG."""
    kind = 'video' if video else 'image'
    features = {
        **{
            f'observation.images.{camera}': {'dtype': kind, 'shape': [64, 96, 3], 'names': None}
            for camera in CAMERAS
        },
        'observation.state': {'dtype': 'float32', 'shape': [14], 'names': {'motors': NAMES}},
        'action': {'dtype': 'float32', 'shape': [14], 'names': NAMES},
    }
    chunk = 'chunk-{episode_chunk:03d}/'
    chunks = 'chunk-{chunk_index:03d}/file-{file_index:03d}'
    number = 'episode_{episode_index:06d}'
    paths = {
        'v2.1': (chunk + number, chunk + '{video_key}/' + number),
        'v3.0': (chunks, '{video_key}/' + chunks),
    }
    info = {
        'codebase_version': version,
        'robot_type': 'aloha',
        'total_episodes': len(LENGTHS),
        'fps': FPS,
        'chunks_size': 2,  # so that the third episode lies in another folder
        'data_path': f'data/{paths[version][0]}.parquet',
        'video_path': f'videos/{paths[version][1]}.mp4' if video else None,
        'features': features,
    }
    (root / 'meta').mkdir(parents=True)
    (root / 'meta' / 'info.json').write_text(json.dumps(info))
    (_write_v2 if version == 'v2.1' else _write_v3)(root, codec if video else '')
    return root


def _write_v2(root: Path, codec: str) -> None:
    lines = []
    for episode, (length, task) in enumerate(zip(LENGTHS, TASKS, strict=True)):
        lines.append({'episode_index': episode, 'tasks': [task], 'length': length})
        name = f'episode_{episode:06d}'
        data = root / 'data' / f'chunk-{episode // 2:03d}' / f'{name}.parquet'
        _write_table(data, _rows([episode], pictures=not codec))
        for number, camera in enumerate(CAMERAS if codec else ()):
            folder = root / f'videos/chunk-{episode // 2:03d}/observation.images.{camera}'
            _write_video(folder / f'{name}.mp4', [episode], number, codec)
    text = '\n'.join(json.dumps(line) for line in lines)
    (root / 'meta' / 'episodes.jsonl').write_text(text + '\n')


def _write_v3(root: Path, codec: str) -> None:
    rows = []
    for file, episodes in enumerate(([0, 1], [2])):
        name = f'chunk-000/file-{file:03d}'
        _write_table(root / f'data/{name}.parquet', _rows(episodes, pictures=not codec))
        for number, camera in enumerate(CAMERAS if codec else ()):
            path = root / f'videos/observation.images.{camera}/{name}.mp4'
            _write_video(path, episodes, number, codec)
        start = 0.0
        for episode in episodes:
            end = start + LENGTHS[episode] / FPS
            row = {'episode_index': episode, 'tasks': [TASKS[episode]], 'length': LENGTHS[episode]}
            row |= {'data/chunk_index': 0, 'data/file_index': file, 'stats/action/mean': [0.5]}
            for camera in CAMERAS if codec else ():
                key = f'videos/observation.images.{camera}'
                row |= {f'{key}/chunk_index': 0, f'{key}/file_index': file}
                row |= {f'{key}/from_timestamp': start, f'{key}/to_timestamp': end}
            rows.append(row)
            start = end
    _write_table(root / 'meta/episodes/chunk-000/file-000.parquet', pa.Table.from_pylist(rows))


def _rows(episodes: list[int], *, pictures: bool) -> pa.Table:
    tables = [_episode_rows(episode, pictures=pictures) for episode in episodes]
    return pa.concat_tables(tables)


def _episode_rows(episode: int, *, pictures: bool) -> pa.Table:
    length = LENGTHS[episode]
    state = state_of(episode, length)
    vector = pa.list_(pa.float32(), 14)
    columns = {
        'observation.state': pa.array(list(state), vector),
        'action': pa.array(list(state + 1), vector),
        'timestamp': pa.array((np.arange(length) / FPS).astype(np.float32)),
        'frame_index': pa.array(np.arange(length)),
        'episode_index': pa.array(np.full(length, episode)),
    }
    for number, camera in enumerate(CAMERAS if pictures else ()):
        columns[f'observation.images.{camera}'] = pa.array(
            [
                {'bytes': _png(paint(episode, t, number)), 'path': f'frame_{t}.png'}
                for t in range(length)
            ]
        )
    return pa.table(columns)


def _png(picture: np.ndarray) -> bytes:
    return cv2.imencode('.png', np.ascontiguousarray(picture[..., ::-1]))[1].tobytes()


def _write_table(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def _write_video(path: Path, episodes: list[int], camera: int, codec: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault('SVT_LOG', '1')  # errors only
    # LeRobot's key frames with AV1; H.264 keeps its own habits: one key frame, frames in between.
    options = {'crf': '20', **({'g': '2'} if codec == 'libsvtav1' else {})}
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = 96, 64, 'yuv420p'
        stream.time_base = Fraction(1, FPS)
        for episode in episodes:
            for index in range(LENGTHS[episode]):
                frame = av.VideoFrame.from_ndarray(paint(episode, index, camera), format='rgb24')
                container.mux(stream.encode(frame))
        container.mux(stream.encode())
