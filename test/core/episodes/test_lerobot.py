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

"""LeRobot data sets of both versions: the right frames, and damage told from a bug."""

import json
import sys

from episode_data import (
    CAMERAS,
    FPS,
    LENGTHS,
    level,
    NAMES,
    paint,
    state_of,
    STEP,
    TASKS,
    write_lerobot,
)
from hbvla_ros.core.episodes.episode import ReadConfig
from hbvla_ros.core.episodes.find import open_episodes
from hbvla_ros.core.episodes.lerobot import read_lerobot_episodes
from hbvla_ros.core.episodes.video import frame_at
from hbvla_ros.core.errors import CalibrationError, ConfigError
import numpy as np
import pyarrow.parquet as pq
import pytest

LOSS = 3  # levels that a codec takes; neighbouring frames are STEP apart
assert LOSS < STEP / 2
VERSIONS = ('v2.1', 'v3.0')


@pytest.fixture(params=VERSIONS)
def root(request, tmp_path):
    """Return a data set with H.264 videos."""
    return write_lerobot(tmp_path / 'data_set', request.param)


def read(root, **config):
    return read_lerobot_episodes(root, ReadConfig(**config))


def worst(episodes):
    """Return the largest difference of any pixel of any frame."""
    return max(
        int(np.abs(episode.frame(camera, t).astype(int) - paint(e, t, c)).max())
        for e, episode in enumerate(episodes)
        for c, camera in enumerate(CAMERAS)
        for t in range(episode.length)
    )


def change(root, **values):
    path = root / 'meta' / 'info.json'
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize('version', VERSIONS)
@pytest.mark.parametrize('codec', ['libx264', 'libsvtav1'])
def test_every_frame_is_the_right_one(tmp_path, version, codec):
    assert worst(read(write_lerobot(tmp_path / 'd', version, codec=codec))) <= LOSS


@pytest.mark.parametrize('version', VERSIONS)
def test_pictures_inside_the_table_are_read_exactly(tmp_path, version):
    assert worst(read(write_lerobot(tmp_path / 'd', version, video=False))) == 0


def test_numbers_and_texts_belong_to_their_episode(root):
    episodes = read(root)
    assert [episode.length for episode in episodes] == list(LENGTHS)
    assert [episode.instruction for episode in episodes] == list(TASKS)
    assert {episode.period_s for episode in episodes} == {1 / FPS}
    for number, episode in enumerate(episodes):
        assert episode.cameras == CAMERAS
        assert episode.state_names == episode.action_names == tuple(NAMES)
        np.testing.assert_array_equal(episode.state, state_of(number, LENGTHS[number]))
        np.testing.assert_array_equal(episode.action, state_of(number, LENGTHS[number]) + 1)


def test_the_callers_instruction_replaces_the_task(root):
    assert {episode.instruction for episode in read(root, instruction='wave')} == {'wave'}


def test_a_lone_image_is_a_camera_called_image(tmp_path):
    root = write_lerobot(tmp_path / 'd', 'v2.1', video=False)
    info = json.loads((root / 'meta/info.json').read_text())
    features = {'observation.image': info['features'].pop('observation.images.cam_high')}
    change(root, features={**info['features'], **features})
    assert read(root)[0].cameras == ('cam_left_wrist', 'cam_right_wrist', 'image')


def test_a_time_between_frames_gives_the_nearest_and_a_far_one_is_refused(tmp_path):
    root = write_lerobot(tmp_path / 'd', 'v2.1')
    video = next((root / 'videos').rglob('episode_000000.mp4'))  # four frames: 0 .. 0.3 s

    def red(time_s):
        return int(frame_at(video, time_s, 1 / FPS)[0, 0, 0])

    for time_s, index in ((0.0, 0), (0.14, 1), (0.16, 2), (0.34, 3)):
        assert abs(red(time_s) - level(0, index)) <= LOSS
    with pytest.raises(CalibrationError, match=r'no frame within 0\.0500 s of 0\.400 s'):
        red(0.4)


def test_an_episode_with_several_tasks_needs_the_callers_instruction(tmp_path):
    root = write_lerobot(tmp_path / 'd', 'v2.1')
    path = root / 'meta/episodes.jsonl'
    path.write_text(path.read_text().replace('["open the drawer"]', '["open", "close"]'))
    with pytest.raises(CalibrationError, match=r"episode 1 names the tasks \['open', 'close'\]"):
        read(root)
    assert len(read(root, instruction='wave')) == 3


def test_another_version_is_refused_with_the_known_ones(root):
    change(root, codebase_version='v1.6')
    with pytest.raises(CalibrationError, match=r"version 'v1\.6' is not read; known: v2\.0, v2"):
        read(root)


def test_a_data_set_without_states_says_what_it_has(root):
    change(root, features={'action': {'dtype': 'float32', 'shape': [14], 'names': None}})
    with pytest.raises(CalibrationError, match=r"observation\.images.*has \['action'\]"):
        read(root)


def test_a_path_that_leads_out_of_the_data_set_is_refused(root):
    for path in ('../secret.parquet', '/etc/passwd'):
        change(root, data_path=path)
        with pytest.raises(CalibrationError, match='leads out of the data set'):
            read(root)


@pytest.mark.parametrize('text', ['', '{"fps": 10}', '[]', '{"codebase_version": "v3.0"}'])
def test_a_damaged_description_is_a_calibration_error(root, text):
    (root / 'meta/info.json').write_text(text)
    with pytest.raises(CalibrationError, match='not a readable LeRobot data set'):
        read(root)


@pytest.mark.parametrize('pattern', ['data/**/*.parquet', 'videos/**/*.mp4', 'meta/**/episodes*'])
def test_a_missing_or_truncated_file_is_a_calibration_error(root, pattern):
    def use():
        episode = open_episodes(root, ReadConfig())[0]
        _ = episode.state, episode.frame(CAMERAS[0], 0)

    use()
    files = [path for path in root.glob(pattern) if path.is_file()]
    files += list((root / 'meta').rglob('*.parquet')) if 'meta' in pattern else []
    for path in files:
        path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(CalibrationError, match='not a readable'):
        use()
    for path in files:
        path.unlink()
    with pytest.raises(CalibrationError, match=r'not a readable|has no episodes'):
        use()


def test_rows_that_the_description_does_not_tell_of_are_refused(root):
    for path in (root / 'data').rglob('*.parquet'):
        pq.write_table(pq.read_table(path, partitioning=None).slice(1), path)
    with pytest.raises(CalibrationError, match='episode 0 should have 4 rows here, it has 3'):
        _ = read(root)[0].state


@pytest.mark.parametrize(
    ('package', 'use'),
    [
        ('pyarrow.parquet', lambda root: read(root)[0].state),
        ('av', lambda root: read(root)[0].frame('cam_high', 0)),
    ],
)
def test_without_a_package_the_message_says_what_to_install(root, monkeypatch, package, use):
    monkeypatch.setitem(sys.modules, package, None)
    name = package.split('.')[0]
    with pytest.raises(ConfigError, match=rf'{name}: pip install -r requirements/data\.txt'):
        use(root)
