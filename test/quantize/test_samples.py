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

"""Samples to calibrate with: spread over the recording, and what their hash covers."""

from itertools import pairwise

from builders import robot
from episode_data import demonstration, state_of, write_lerobot, write_npz
from hbvla_ros.core.bag import read_bag, write_bag
from hbvla_ros.core.episodes.episode import ReadConfig
from hbvla_ros.core.episodes.hdf5 import write_aloha_episode
from hbvla_ros.core.episodes.mapping import ChunkShape
from hbvla_ros.core.errors import CalibrationError, ConfigError, ObservationError
from hbvla_ros.core.feed import feed, IMAGE, recorded_inputs, sample_stamp
from hbvla_ros.core.latest import FreshnessConfig, ObservationAssembler
from hbvla_ros.core.observation import Observation
from hbvla_ros.core.scene import synthetic_observations
from hbvla_ros.evaluate.synthetic import episode, EpisodeConfig, write_demo_bag
from hbvla_ros.quantize import recording
from hbvla_ros.quantize.samples import load_calibration, load_samples, Sample, samples_hash
from hbvla_ros.quantize.spread import spread
from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

ALOHA = robot()
CHUNK = ChunkShape(chunk_size=3, period_s=0.02)
SHORT = EpisodeConfig(seconds=1.0, camera_hz=10, state_hz=50, size=(32, 48))


@pytest.fixture
def bag(tmp_path):
    """Return a recording of one second, ten pictures per camera."""
    write_demo_bag(tmp_path / 'bag', ALOHA, SHORT)
    return tmp_path / 'bag'


@pytest.fixture
def folder(tmp_path):
    """Return a folder with ALOHA episodes of 4, 6 and 10 raw frames."""
    for number, length in enumerate((4, 6, 10)):
        demo = demonstration(number, length)
        write_aloha_episode(tmp_path / f'episode_{number}.hdf5', demo, compressed=False)
    return tmp_path


def seen_by_a_live_node(path):
    """Return every observation that a node would have put together, by stamp."""
    assembler = ObservationAssembler(ALOHA, FreshnessConfig())
    seen = {}
    for message in read_bag(path, recorded_inputs(ALOHA)):
        try:
            kind = feed(assembler, ALOHA, message, sample_stamp(message))
        except ObservationError:
            continue
        now = assembler.assemble(message.stamp_ns)
        if kind == IMAGE and isinstance(now, Observation):
            seen.setdefault(now.stamp_ns, now)
    return seen


@given(total=st.integers(1, 1000), count=st.integers(1, 1000))
def test_the_chosen_are_different_in_order_and_evenly_spread(total, count):
    chosen = spread(total, count)
    assert len(chosen) == min(total, count)
    steps = {b - a for a, b in pairwise(chosen)}
    assert all(step >= 1 for step in steps)
    assert not steps or max(steps) - min(steps) <= 1
    assert abs(chosen[0] - (total - 1 - chosen[-1])) <= 1  # as much before as after


def test_five_of_twenty_worked_by_hand():
    assert spread(20, 5) == [2, 6, 10, 14, 18]
    assert spread(3, 8) == [0, 1, 2]
    assert spread(7, 1) == [3]


def test_synthetic_samples_are_the_scenes_of_their_seed():
    loaded = load_samples('synthetic', ALOHA, 3, seed=7)
    assert samples_hash(loaded) == samples_hash(synthetic_observations(ALOHA, 3, 7))
    assert samples_hash(loaded) != samples_hash(load_samples('synthetic', ALOHA, 3, seed=8))


def test_frames_are_drawn_from_all_over_the_set(folder):
    samples = load_calibration(str(folder), ALOHA, 5, 0, CHUNK)
    wanted = [(0, 2, 4), (1, 2, 6), (2, 0, 10), (2, 4, 10), (2, 8, 10)]
    for sample, (number, index, length) in zip(samples, wanted, strict=True):
        rows = [min(index + k, length - 1) for k in range(3)]
        np.testing.assert_array_equal(sample.observation.state, state_of(number, length)[index])
        np.testing.assert_array_equal(sample.actions, state_of(number, length)[rows] + 1)
        assert sample.actions.dtype == np.float32


def test_a_short_set_gives_every_frame_once(folder):
    seen = load_samples(str(folder), ALOHA, 1000, 0)
    assert len({sample.state.tobytes() for sample in seen}) == len(seen) == 20


def test_without_a_chunk_there_are_observations_alone(folder):
    samples = load_calibration(str(folder), ALOHA, 4, 0)
    assert [sample.actions for sample in samples] == [None] * 4
    assert samples_hash(samples) == samples_hash(load_samples(str(folder), ALOHA, 4, 0))


def test_the_same_episodes_in_two_formats_give_the_same_samples(folder, tmp_path):
    (tmp_path / 'npz').mkdir()
    for number, length in enumerate((4, 6, 10)):
        write_npz(tmp_path / 'npz' / f'e_{number}.npz', demonstration(number, length))
    one, two = (
        samples_hash(load_calibration(str(path), ALOHA, 6, 0, CHUNK))
        for path in (folder, tmp_path / 'npz')
    )
    assert one == two


def test_a_lerobot_data_set_is_read_at_the_policys_time_step(tmp_path):
    root = write_lerobot(tmp_path / 'set', 'v3.0')  # a row every 0.1 s
    shape = ChunkShape(chunk_size=2, period_s=0.2)
    samples = load_calibration(str(root), ALOHA, 15, 0, shape)
    np.testing.assert_array_equal(samples[0].actions, state_of(0, 4)[[0, 2]] + 1)
    assert {sample.observation.images['cam_high'].shape for sample in samples} == {(64, 96, 3)}
    texts = [sample.observation.instruction for sample in samples]
    assert texts == ['pick up the cube'] * 4 + ['open the drawer'] * 6 + ['pick up the cube'] * 5


def test_the_operators_instruction_reaches_the_samples(folder):
    config = ReadConfig(instruction='wave')
    samples = load_calibration(str(folder), ALOHA, 2, 0, config=config)
    assert {sample.observation.instruction for sample in samples} == {'wave'}


def test_the_hash_covers_pictures_states_texts_and_actions(folder):
    sample = load_calibration(str(folder), ALOHA, 1, 0, CHUNK)[0]
    seen = sample.observation
    images = {**seen.images, 'cam_high': seen.images['cam_high'] + 1}
    values = {'state': seen.state, 'instruction': 'x', 'stamp_ns': 0}
    variants = [
        sample,
        Sample(seen),
        Sample(seen, sample.actions + 1),
        Sample(Observation(images=images, **values)),
        Sample(Observation(images=seen.images, **values)),
        Sample(Observation(images=seen.images, **{**values, 'state': seen.state + 1})),
    ]
    assert len({samples_hash([variant]) for variant in variants}) == len(variants)


def test_samples_of_a_bag_are_what_a_live_node_would_see(bag):
    live = seen_by_a_live_node(bag)
    samples = load_samples(str(bag), ALOHA, 4, 0)
    assert len(samples) == 4
    assert samples_hash(samples) == samples_hash([live[sample.stamp_ns] for sample in samples])
    order = list(live)
    assert [order.index(s.stamp_ns) for s in samples] == spread(len(order), 4)


def test_only_the_pictures_of_the_chosen_are_decoded(bag, monkeypatch):
    decoded = []
    original = recording.compressed_to_rgb
    monkeypatch.setattr(
        recording, 'compressed_to_rgb', lambda item: decoded.append(item) or original(item)
    )
    load_samples(str(bag), ALOHA, 4, 0)
    assert len(decoded) == 4 * len(ALOHA.cameras)


def broken_bag(path, is_broken):
    """Write the recording with some pictures that do not decode."""

    def messages():
        for number, (topic, message, stamp_ns) in enumerate(episode(ALOHA, SHORT)):
            if 'cam_high' in topic and is_broken(number):
                message.data = message.data[:100]
            yield topic, message, stamp_ns

    write_bag(path, messages())
    return path


def test_where_a_picture_does_not_decode_the_next_instant_takes_its_place(tmp_path):
    path = broken_bag(tmp_path / 'bag', lambda number: number < 60)
    samples = load_samples(str(path), ALOHA, 4, 0)
    stamps = [sample.stamp_ns for sample in samples]
    assert len(set(stamps)) == 4
    assert set(stamps) <= set(seen_by_a_live_node(path))


def test_a_bag_whose_pictures_never_decode_says_why(tmp_path):
    path = broken_bag(tmp_path / 'bag', lambda _: True)
    with pytest.raises(CalibrationError, match=r'no picture can be used: .*does not decode'):
        load_samples(str(path), ALOHA, 4, 0)


def test_a_bag_without_a_complete_instant_is_refused(tmp_path):
    silent = [item for item in episode(ALOHA, SHORT) if 'joint' not in item[0]]
    late = [(t, m, s + 10**10) for t, m, s in episode(ALOHA, SHORT) if 'joint' in t]
    for _, message, _ in late:
        message.header.stamp.sec += 10
    write_bag(tmp_path / 'bag', [*silent, *late])
    with pytest.raises(CalibrationError, match='no instant at which all cameras'):
        load_samples(str(tmp_path / 'bag'), ALOHA, 4, 0)


def test_a_bag_of_another_robot_is_refused_with_its_topics(bag):
    with pytest.raises(CalibrationError, match=r"lacks \['agentview.*it has \['cam_high"):
        load_samples(str(bag), robot('libero_panda'), 4, 0)


def test_episodes_of_another_robot_are_refused_with_their_cameras(folder):
    with pytest.raises(CalibrationError, match=r"'agentview', 'wrist'.*it has \['cam_high"):
        load_samples(str(folder), robot('libero_panda'), 4, 0)


def test_what_is_no_recording_is_refused(tmp_path):
    with pytest.raises(ConfigError, match='not a readable rosbag2 recording, nor ALOHA HDF5'):
        load_samples(str(tmp_path / 'nowhere'), ALOHA, 4, 0)
