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

"""What lies at a path."""

import subprocess
import sys

from builders import REPOSITORY
from episode_data import demonstration, write_lerobot, write_npz
from hbvla_ros.core.episodes.episode import ReadConfig
from hbvla_ros.core.episodes.find import open_episodes, recording_kind
from hbvla_ros.core.episodes.hdf5 import write_aloha_episode
from hbvla_ros.core.errors import CalibrationError, ConfigError
import pytest


def lengths(path):
    return [episode.length for episode in open_episodes(path, ReadConfig())]


def test_a_folder_of_episodes_is_read_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 2, 1):
        demo = demonstration(length=number)
        write_aloha_episode(tmp_path / f'episode_{number}.hdf5', demo, compressed=False)
    (tmp_path / 'notes.txt').write_text('not an episode')
    assert lengths(tmp_path) == [1, 2, 10]
    assert lengths(tmp_path / 'episode_2.hdf5') == [2]


def test_each_kind_is_told_by_what_the_path_is(tmp_path):
    write_npz(tmp_path / 'e.npz', demonstration())
    write_lerobot(tmp_path / 'set', 'v3.0', video=False)
    assert recording_kind(tmp_path / 'e.npz') == recording_kind(tmp_path) == 'npz'
    assert recording_kind(tmp_path / 'set') == 'LeRobot'
    assert lengths(tmp_path / 'e.npz') == [5]
    assert lengths(tmp_path / 'set') == [4, 6, 5]


def test_a_folder_that_mixes_kinds_is_refused_naming_both(tmp_path):
    write_npz(tmp_path / 'one.npz', demonstration())
    write_aloha_episode(tmp_path / 'two.hdf5', demonstration(), compressed=False)
    with pytest.raises(CalibrationError, match=r'HDF5 \(two\.hdf5\)|npz \(one\.npz\)') as caught:
        lengths(tmp_path)
    assert 'two.hdf5' in str(caught.value)
    assert 'one.npz' in str(caught.value)


def test_a_data_set_with_strange_episodes_beside_it_is_mixed_too(tmp_path):
    root = write_lerobot(tmp_path / 'set', 'v2.1', video=False)
    write_npz(root / 'one.npz', demonstration())
    with pytest.raises(CalibrationError, match=r'mixes LeRobot \(info\.json\), npz'):
        recording_kind(root)


def test_an_episode_that_lacks_a_camera_is_named_with_one_that_has_it(tmp_path):
    demo = demonstration()
    write_npz(tmp_path / 'e_0.npz', demo)
    write_npz(tmp_path / 'e_1.npz', demo, **{'images/cam_left_wrist': None})
    with pytest.raises(CalibrationError, match=r"e_1\.npz lacks \['cam_left_wrist'\].*e_0\.npz"):
        lengths(tmp_path)


def test_episodes_with_other_cameras_of_the_same_number_are_told_apart(tmp_path):
    demo = demonstration()
    write_npz(tmp_path / 'e_0.npz', demo, **{'images/cam_high': None})
    write_npz(tmp_path / 'e_1.npz', demo, **{'images/cam_left_wrist': None})
    with pytest.raises(CalibrationError, match=r"e_1\.npz lacks \['cam_left_wrist'\].*e_0\.npz"):
        lengths(tmp_path)


@pytest.mark.parametrize('name', ['nothing/here', '.', 'notes.txt'])
def test_what_is_no_recording_is_refused_with_the_kinds_that_are_read(tmp_path, name):
    (tmp_path / 'notes.txt').write_text('not an episode')
    with pytest.raises(ConfigError, match=r'not a readable rosbag2.*HDF5.*npz or LeRobot'):
        recording_kind(tmp_path / name)


def test_importing_the_readers_loads_neither_torch_nor_the_packages_that_files_need():
    code = (
        'import sys, hbvla_ros.core.episodes.find, hbvla_ros.core.episodes.mapping;'
        'print([n for n in sys.modules if n in ('
        '"torch", "h5py", "pyarrow", "av", "cv2", "PIL", "simplejpeg", "rosbags")])'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == '[]'
