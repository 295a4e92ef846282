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

"""Episodes in the plain layout."""

from episode_data import CAMERAS, demonstration, paint, state_of, write_npz
from hbvla_ros.core.episodes.episode import ReadConfig
from hbvla_ros.core.episodes.npz import read_npz_episode
from hbvla_ros.core.errors import CalibrationError
import numpy as np
import pytest


@pytest.fixture
def path(tmp_path):
    """Return a written episode."""
    write_npz(tmp_path / 'e.npz', demonstration())
    return tmp_path / 'e.npz'


def read(path):
    return read_npz_episode(path, ReadConfig())


def test_what_is_written_is_read(path):
    episode = read(path)
    assert episode.cameras == CAMERAS
    assert (episode.length, episode.period_s) == (5, 0.02)
    assert episode.instruction == 'pick up the cube'
    np.testing.assert_array_equal(episode.state, state_of(0, 5))
    np.testing.assert_array_equal(episode.action, state_of(0, 5) + 1)
    for number, camera in enumerate(CAMERAS):
        for index in range(5):
            picture = episode.frame(camera, index)
            np.testing.assert_array_equal(picture, paint(0, index, number))
            assert picture.flags.writeable  # the caller owns it


def test_a_compressed_archive_reads_the_same(tmp_path, path):
    with np.load(path) as arrays:
        np.savez_compressed(tmp_path / 'small.npz', **arrays)
    one, two = read(path), read(tmp_path / 'small.npz')
    np.testing.assert_array_equal(one.frame('cam_high', 4), two.frame('cam_high', 4))
    np.testing.assert_array_equal(one.state, two.state)


def test_actions_and_instruction_may_be_left_out(tmp_path):
    folder = tmp_path / 'open_the_drawer'
    folder.mkdir()
    write_npz(folder / 'e.npz', demonstration(), action=None, instruction=None)
    episode = read(folder / 'e.npz')
    assert episode.action is None
    assert episode.instruction == 'open the drawer'


def test_double_precision_is_read_as_float32(tmp_path):
    write_npz(tmp_path / 'e.npz', demonstration(), state=state_of(0, 5).astype(np.float64))
    assert read(tmp_path / 'e.npz').state.dtype == np.float32


class _Trap:
    """An object that pickle would run."""

    def __reduce__(self):
        return pytest.fail, ('pickle was trusted',)


@pytest.mark.parametrize('key', ['state', 'instruction', 'images/cam_high'])
def test_an_array_of_objects_is_refused_and_not_unpickled(tmp_path, key):
    trap = np.empty(5, dtype=object)
    trap[:] = [_Trap() for _ in range(5)]
    write_npz(tmp_path / 'e.npz', demonstration(), **{key: trap})
    with pytest.raises(CalibrationError, match=f'{key} holds objects, which only pickle'):
        read(tmp_path / 'e.npz')


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'state': None}, 'it needs state, period_s and images/<camera>, it holds'),
        ({'period_s': None}, 'it needs state, period_s'),
        ({f'images/{camera}': None for camera in CAMERAS}, 'it needs state'),
        ({'state': np.zeros((3, 14))}, '3 states, but 5 pictures of cam_high'),
        ({'images/cam_high': np.zeros((5, 4, 4, 3))}, r'uint8 \[T, H, W, 3\], is float64'),
        ({'images/cam_high': np.zeros((5, 4, 4), np.uint8)}, r'is uint8 \(5, 4, 4\)'),
        ({'state': np.asfortranarray(state_of(0, 5))}, 'ascontiguousarray'),
        ({'period_s': 0.0}, 'time step must be positive, is 0.0'),
        ({'instruction': 'x' * 1000}, 'at most 512 fit'),
    ],
)
def test_what_makes_no_episode_is_refused(tmp_path, changes, message):
    write_npz(tmp_path / 'e.npz', demonstration(), **changes)
    with pytest.raises(CalibrationError, match=message):
        read(tmp_path / 'e.npz')


def test_an_empty_episode_is_refused(tmp_path):
    images = {camera: np.zeros((0, 4, 4, 3), np.uint8) for camera in CAMERAS}
    none = np.zeros((0, 14), np.float32)
    demo = demonstration(images=images, state=none, action=none)
    write_npz(tmp_path / 'e.npz', demo)
    with pytest.raises(CalibrationError, match='the episode has no frames'):
        read(tmp_path / 'e.npz')


@pytest.mark.parametrize('keep', [0, 100, 5000])
def test_a_truncated_archive_is_a_calibration_error(path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CalibrationError, match='not a readable npz episode: BadZipFile'):
        read(path)
