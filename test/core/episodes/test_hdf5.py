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

"""ALOHA episodes: colours, padding, and damage told from a bug."""

import io
import random
import sys

import cv2
from episode_data import CAMERAS, demonstration, paint, state_of
import h5py
from hbvla_ros.core.episodes.episode import ReadConfig
from hbvla_ros.core.episodes.hdf5 import read_aloha_episode, write_aloha_episode
from hbvla_ros.core.errors import CalibrationError, ConfigError
import numpy as np
from PIL import Image
import pytest

JPEG = 4  # levels by which one colour may change at the recorder's quality


@pytest.fixture(params=[True, False], ids=['jpeg', 'raw'])
def path(request, tmp_path):
    """Return a written episode."""
    file = tmp_path / 'episode_0.hdf5'
    write_aloha_episode(file, demonstration(), compressed=request.param)
    return file


def read(path, **config):
    return read_aloha_episode(path, ReadConfig(**config))


def recorded(frames):
    """Return what the recorder stores: OpenCV's JPEG of an array that it takes for BGR."""
    coded = [cv2.imencode('.jpg', f, [cv2.IMWRITE_JPEG_QUALITY, 50])[1].ravel() for f in frames]
    width = max(map(len, coded)) + 100
    return np.stack([np.pad(row, (0, width - len(row))) for row in coded])


def test_what_is_written_is_read(path):
    episode = read(path)
    assert sorted(episode.cameras) == sorted(CAMERAS)
    assert (episode.length, episode.period_s) == (5, 0.02)
    assert episode.instruction == 'pick up the cube'
    np.testing.assert_array_equal(episode.state, state_of(0, 5))
    np.testing.assert_array_equal(episode.action, state_of(0, 5) + 1)
    assert (episode.state.dtype, episode.action.dtype) == (np.float32, np.float32)
    for number, camera in enumerate(CAMERAS):
        for index in range(5):
            picture = episode.frame(camera, index).astype(int)
            assert np.abs(picture - paint(0, index, number)).max() <= JPEG


def test_the_file_has_the_layout_of_the_recorder(tmp_path):
    demo = demonstration(velocity=state_of(1, 5), effort=state_of(2, 5))
    write_aloha_episode(tmp_path / 'e.hdf5', demo)
    with h5py.File(tmp_path / 'e.hdf5') as file:
        assert (bool(file.attrs['compress']), bool(file.attrs['sim'])) == (True, True)
        for name in ('observations/qpos', 'observations/qvel', 'observations/effort', 'action'):
            assert (file[name].shape, file[name].dtype) == ((5, 14), np.float32)
        assert (file['compress_len'].shape, file['compress_len'].dtype) == ((3, 5), np.float32)
        images = file['observations/images/cam_high']
        assert images.shape == (5, file['compress_len'][...].max())
        assert images.chunks == (1, images.shape[1])
        assert 'base_action' not in file


def test_rgb_survives_the_recorders_jpeg_and_plain_decoding_would_swap_it(tmp_path):
    frames = np.zeros((2, 64, 64, 3), np.uint8)
    frames[:] = 200, 0, 20  # a red scene, as an rgb8 camera delivers it
    file = tmp_path / 'e.hdf5'
    write_aloha_episode(file, demonstration(length=2, images={'top': frames}))
    ours = read(file).frame('top', 1)[0, 0].astype(int)
    assert np.abs(ours - [200, 0, 20]).max() <= JPEG
    with h5py.File(file) as opened:
        data = opened['observations/images/top'][1].tobytes()
    swapped = np.asarray(Image.open(io.BytesIO(data)))[0, 0].astype(int)
    assert np.abs(swapped - [20, 0, 200]).max() <= JPEG


def test_a_recording_of_opencv_is_decoded_bit_for_bit_as_opencv_does(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (2, 6, 8, 3), dtype=np.uint8)
    frames = np.stack([cv2.resize(one, (64, 48)) for one in noise])
    rows = recorded(frames)
    file = tmp_path / 'e.hdf5'
    write_aloha_episode(file, demonstration(length=2), compressed=False)
    with h5py.File(file, 'a') as opened:
        for camera in CAMERAS:
            del opened[f'observations/images/{camera}']
            opened.create_dataset(f'observations/images/{camera}', data=rows, dtype='u1')
    np.testing.assert_array_equal(read(file).frame(CAMERAS[0], 1), cv2.imdecode(rows[1], 1))


def test_padding_after_a_picture_changes_nothing(tmp_path):
    frames = np.zeros((2, 64, 64, 3), np.uint8)
    frames[1] = np.random.default_rng(0).integers(0, 256, (64, 64, 3))  # the longer row
    write_aloha_episode(tmp_path / 'e.hdf5', demonstration(length=2, images={'top': frames}))
    with h5py.File(tmp_path / 'e.hdf5') as file:
        row = file['observations/images/top'][0]
        trimmed = row[: int(file['compress_len'][0, 0])]
    assert len(trimmed) < len(row) / 2
    expected = cv2.imdecode(trimmed, 1)
    np.testing.assert_array_equal(read(tmp_path / 'e.hdf5').frame('top', 0), expected)


def test_cameras_that_delivered_bgr_are_turned_round(path):
    plain, turned = (read(path, bgr=bgr).frame('cam_high', 2) for bgr in (False, True))
    np.testing.assert_array_equal(turned, plain[..., ::-1])
    assert plain[0, 0, 0] > plain[0, 0, 2]


def test_the_callers_instruction_comes_first_then_the_files_then_the_folders(tmp_path):
    folder = tmp_path / 'fold_the_red-towel' / 'train'
    folder.mkdir(parents=True)
    write_aloha_episode(folder / 'e.hdf5', demonstration())
    assert read(folder / 'e.hdf5', instruction='wave').instruction == 'wave'
    assert read(folder / 'e.hdf5').instruction == 'pick up the cube'
    with h5py.File(folder / 'e.hdf5', 'a') as file:
        file.attrs['instruction'] = np.bytes_('fold it')  # as a C program stores text
    assert read(folder / 'e.hdf5').instruction == 'fold it'
    with h5py.File(folder / 'e.hdf5', 'a') as file:
        del file.attrs['instruction'], file.attrs['period_s']
    bare = read(folder / 'e.hdf5', hdf5_period_s=0.05)
    assert (bare.instruction, bare.period_s) == ('fold the red towel', 0.05)


def test_an_episode_may_come_without_actions(path):
    with h5py.File(path, 'a') as file:
        del file['action']
    assert read(path).action is None


def test_a_recording_is_never_overwritten(path):
    with pytest.raises(ConfigError, match='never overwritten'):
        write_aloha_episode(path, demonstration())


def test_pictures_and_states_of_different_length_are_refused(path):
    with pytest.raises(CalibrationError, match=r"equal lengths, got .*'action': 4"):
        demonstration(action=state_of(0, 4))
    with h5py.File(path, 'a') as file:
        del file['observations/qpos']
        file['observations/qpos'] = state_of(0, 7)
    with pytest.raises(CalibrationError, match='7 states, but 5 pictures of cam_high'):
        read(path)


def test_another_hdf5_file_is_no_episode(tmp_path):
    with h5py.File(tmp_path / 'other.hdf5', 'w') as file:
        file['table'] = np.zeros(3)
    with pytest.raises(CalibrationError, match=r"lacks \['observations/qpos'.*holds \['table'\]"):
        read(tmp_path / 'other.hdf5')


def test_a_state_that_is_not_finite_is_named_by_row_and_column(path):
    with h5py.File(path, 'a') as file:
        file['observations/qpos'][3, 2] = np.nan
    with pytest.raises(CalibrationError, match=r'state\[3, 2\] is nan'):
        _ = read(path).state


def test_a_picture_that_does_not_decode_is_named(tmp_path):
    write_aloha_episode(tmp_path / 'e.hdf5', demonstration())
    with h5py.File(tmp_path / 'e.hdf5', 'a') as file:
        file['observations/images/cam_high'][1] = 0
    with pytest.raises(CalibrationError, match='JPEG in frame 1 of cam_high'):
        read(tmp_path / 'e.hdf5').frame('cam_high', 1)


def test_a_frame_or_camera_that_is_not_there_is_refused(path):
    with pytest.raises(CalibrationError, match="no camera 'cam_low'; it has"):
        read(path).frame('cam_low', 0)
    for index in (-1, 5):
        with pytest.raises(CalibrationError, match=f'no frame {index}; it has 5'):
            read(path).frame('cam_high', index)


def test_a_truncated_file_is_a_calibration_error(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(CalibrationError, match=r'not a readable ALOHA HDF5 episode: OSError'):
        read(path)


def damaged(original, rng):
    """Return the bytes cut short, or with up to 64 of them changed."""
    data = bytearray(original)
    if rng.random() < 0.2:
        return bytes(data[: rng.randrange(len(data))])
    start, count = rng.randrange(len(data)), rng.choice([1, 4, 64])
    for place in range(start, min(start + count, len(data))):
        data[place] = rng.randrange(256)
    return bytes(data)


def outcome(path):
    """Return what became of a file; anything but a ``CalibrationError`` passes through."""
    try:
        episode = read(path)
        _ = episode.state, episode.frame(CAMERAS[0], 0)
    except CalibrationError as error:
        return str(error)
    return 'read'


def test_a_heap_through_which_the_library_would_walk_for_ever_is_refused(path):
    content = bytearray(path.read_bytes())
    # The head of the heap, the head of the instruction and its 16 letters, then what is free.
    free = content.index(b'GCOL') + 3 * 16
    assert content[free] == 0
    content[free + 8] ^= 0x40
    path.write_bytes(content)
    with pytest.raises(CalibrationError, match=r'the heap at byte \d+ is damaged'):
        read(path)


def test_damage_is_a_calibration_error_and_never_anything_else(tmp_path):
    path, rng = tmp_path / 'e.hdf5', random.Random(0)
    write_aloha_episode(path, demonstration())
    original, outcomes = path.read_bytes(), []
    for _ in range(100):
        path.write_bytes(damaged(original, rng))
        outcomes.append(outcome(path))
    refused = [text for text in outcomes if text != 'read']
    assert all(text.startswith(str(path)) for text in refused)
    assert len(refused) > 20  # some damage hits bytes that nobody reads


def test_without_h5py_the_message_says_what_to_install(path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'h5py', None)
    with pytest.raises(ConfigError, match=r'h5py: pip install -r requirements/data\.txt'):
        read(path)
