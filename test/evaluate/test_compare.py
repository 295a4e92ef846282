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

"""Two policies on the same observations."""

import json

from builders import robot, ROBOTS, tiny_job
from hbvla_ros.core.errors import ArtifactError, CheckpointError, ConfigError
from hbvla_ros.core.normalization import Scaling
from hbvla_ros.core.robot import ActionSpec
from hbvla_ros.evaluate.compare import compare, executed, jerk
from hbvla_ros.evaluate.compare_page import comparison_page, comparison_text
from hbvla_ros.evaluate.side_by_side import CompareConfig, run_comparison
from hbvla_ros.evaluate.synthetic import EpisodeConfig, write_demo_bag
from hbvla_ros.models.tiny import write_tiny_checkpoint
from hbvla_ros.quantize.pipeline import run_job
from html_page import all_numbers, read_page
from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

ACTIONS = (
    ActionSpec(name='arm', lower=-3.0, upper=3.0, max_velocity=1.0),
    ActionSpec(name='left_gripper', lower=0.0, upper=1.0, max_velocity=1.0),
)
# arm: 10 rad for the whole of -1 .. 1; gripper: 0 .. 1
SCALING = Scaling(np.array([-5.0, 0.0]), np.array([5.0, 1.0]), np.array([True, True]))
SECOND_NS = 1_000_000_000


def _chunks(*rows):
    return np.array(rows, dtype=np.float64)


def _random(seed, shape=(5, 8, 2)):
    return np.random.default_rng(seed).uniform(-1, 1, shape)


@given(st.integers(0, 1000))
def test_a_policy_does_not_differ_from_itself(seed):
    mine = _random(seed)
    facts = compare(mine, mine, SCALING, ACTIONS, [(mine[0], mine[0])])
    assert facts['mean_error'] == facts['largest_error'] == 0
    assert facts['jerk']['ratio'] == 1
    assert facts['grippers'][0]['differ'] == 0


@given(st.integers(0, 1000))
def test_errors_do_not_depend_on_who_is_first(seed):
    one, other = _random(seed), _random(seed + 1)
    there, back = (compare(*pair, SCALING, ACTIONS, []) for pair in ((one, other), (other, one)))
    assert there['joints'] == back['joints']
    assert there['grippers'][0]['flips_first'] == back['grippers'][0]['flips_second']


def test_errors_of_two_chunks_worked_by_hand():
    first = _chunks([[0.0, 1.0], [0.5, 1.0]])
    second = _chunks([[0.2, 1.0], [0.1, -1.0]])
    facts = compare(first, second, SCALING, ACTIONS, [])
    arm, gripper = facts['joints']
    assert arm['mean_error'] == pytest.approx(0.3)  # 0.2 and 0.4
    assert arm['mean_error_physical'] == pytest.approx(1.5)  # half of 10 rad times that
    assert arm['largest_error_physical'] == pytest.approx(2.0)
    assert gripper['mean_error_physical'] == pytest.approx(0.5)  # 0 and 1
    assert facts['mean_error'] == pytest.approx((0.2 + 0.4 + 0 + 2) / 4)
    assert facts['largest_error'] == 2.0
    # the second gripper closes in between; the first one stays open
    assert facts['grippers'] == [
        {'name': 'left_gripper', 'rows': 2, 'differ': 1, 'flips_first': 0, 'flips_second': 1}
    ]


@given(st.integers(1, 8), st.integers(1, 6))
def test_an_executor_follows_each_chunk_until_the_next(steps, count):
    chunks = _random(7, (count, 8, 2))
    stamps = np.arange(count, dtype=np.int64) * steps * SECOND_NS // 20
    (joined,) = executed(chunks, stamps, 0.05)
    rows = [row for chunk in chunks[:-1] for row in chunk[:steps]]
    np.testing.assert_array_equal(joined, [*rows, chunks[-1, 0]])


def test_frames_that_come_faster_than_steps_are_passed_over():
    # 30 Hz frames, 25 Hz steps: at 0, 40, 80, 120 ms the newest frames are 0, 1, 2, 3
    chunks = np.arange(5.0)[:, None, None] * 10 + np.arange(4.0)[None, :, None]
    stamps = np.arange(5, dtype=np.int64) * SECOND_NS // 30
    (joined,) = executed(chunks, stamps, 0.04)
    assert joined[:, 0].tolist() == [0, 10, 20, 30]


def test_a_frame_that_is_late_by_a_hair_still_counts():
    chunks = np.arange(3.0)[:, None, None] * 10 + np.arange(4.0)[None, :, None]
    (joined,) = executed(chunks, np.array([0, 50_000_100, 100_000_000]), 0.05)
    assert joined[:, 0].tolist() == [0, 10, 20]


@pytest.mark.parametrize(
    'stamps_s',
    [(0.0, 0.1, 0.6, 0.7), (5.0, 5.1, 0.0, 0.1)],
    ids=['further than a chunk', 'a new episode'],
)
def test_what_does_not_follow_begins_anew(stamps_s):
    chunks = _random(3, (4, 8, 2))
    stamps = np.rint(np.array(stamps_s) * SECOND_NS).astype(np.int64)
    assert [len(joined) for joined in executed(chunks, stamps, 0.05)] == [3, 3]


def test_jerk_by_hand():
    smooth = np.arange(6.0)[:, None] ** 3  # third difference 6 throughout
    rough = np.array([0, 0, 0, 1, 0, 0.0])[:, None]  # 1, -3, 3
    facts = jerk([(rough, smooth)])
    assert facts['first'] == pytest.approx(7 / 3)
    assert facts['second'] == pytest.approx(6)
    assert facts['ratio'] == pytest.approx(7 / 18)
    assert facts['steps'] == 3


@given(st.floats(0.1, 10))
def test_jerk_grows_with_the_motion(factor):
    motion = _random(1, (20, 2))
    assert jerk([(factor * motion, motion)])['ratio'] == pytest.approx(factor)


@pytest.mark.parametrize(
    ('stretches', 'reason'),
    [
        ([], 'needs a recording'),
        ([(np.zeros((3, 1)), np.zeros((3, 1)))], 'needs a recording'),
        ([(np.ones((9, 1)), np.ones((9, 1)))], 'no jerk'),
    ],
)
def test_jerk_that_cannot_be_measured_says_why(stretches, reason):
    assert reason in jerk(stretches)['not_measured']


def test_grippers_do_not_count_as_jerk():
    calm = np.zeros((9, 2))
    calm[:, 0] = np.arange(9.0) ** 3
    wild = calm.copy()
    wild[:, 1] = [1, -1] * 4 + [1]
    chunks = _random(0)
    assert compare(chunks, chunks, SCALING, ACTIONS, [(wild, calm)])['jerk']['ratio'] == 1


def _config(tiny_run, **changes):
    paths = {'first': tiny_run / 'artifact', 'second': tiny_run / 'checkpoint'}
    return CompareConfig(**{**paths, 'count': 3, **changes})


@pytest.fixture(scope='module')
def facts(tiny_run):
    """Return the comparison of the shared artifact with its checkpoint."""
    return run_comparison(_config(tiny_run), ROBOTS)


def test_an_artifact_is_compared_with_its_source(facts, tiny_run):
    assert facts['second']['is_source'] is True
    assert facts['dtype'] == 'float32'
    assert facts['observations'] == 3
    assert [joint['name'] for joint in facts['joints']] == list(robot().action_names)
    assert [one['name'] for one in facts['grippers']] == ['left_gripper', 'right_gripper']
    assert 0 < facts['mean_error'] < facts['largest_error'] < 2
    assert 'needs a recording' in facts['jerk']['not_measured']


def test_an_artifact_equals_itself(tiny_run):
    same = run_comparison(_config(tiny_run, second=tiny_run / 'artifact'), ROBOTS)
    assert same['largest_error'] == 0
    assert same['second']['method'] == 'hbvla'


def test_another_checkpoint_is_not_called_the_source(tiny_run, tmp_path, facts):
    write_tiny_checkpoint(tmp_path / 'other', seed=1)
    other = run_comparison(_config(tiny_run, second=tmp_path / 'other'), ROBOTS)
    assert other['second']['is_source'] is False
    assert 'NOT the source' in comparison_text(other)
    assert other['mean_error'] > facts['mean_error']


def test_a_recording_gives_a_jerk_ratio(tiny_run, tmp_path):
    write_demo_bag(tmp_path / 'bag', robot(), EpisodeConfig(seconds=1.5, size=(32, 40)))
    measured = run_comparison(_config(tiny_run, source=str(tmp_path / 'bag'), count=6), ROBOTS)[
        'jerk'
    ]
    assert measured['ratio'] == pytest.approx(measured['first'] / measured['second'])
    assert measured['steps'] > 20  # 1.2 s at 25 Hz, less three


def test_observations_far_apart_give_none(tiny_run, tmp_path):
    state = np.zeros((120, 14), np.float32)
    cameras = [camera.name for camera in robot().cameras]
    frames = {f'images/{camera}': np.zeros((120, 16, 16, 3), np.uint8) for camera in cameras}
    np.savez(tmp_path / 'long.npz', state=state, instruction='wait', period_s=0.1, **frames)
    # 12 s in 3 parts: 4 s apart, while a chunk is 1 s long
    far = run_comparison(_config(tiny_run, source=str(tmp_path / 'long.npz')), ROBOTS)
    assert 'follow each other' in far['jerk']['not_measured']


@pytest.mark.parametrize(
    ('changes', 'error', 'message'),
    [
        ({'robot': 'libero_panda'}, ConfigError, 'gives 14 actions, robot libero_panda has 7'),
        ({'count': 0}, ConfigError, 'at least one observation'),
        ({'preset': 'nothing'}, ConfigError, "unknown preset 'nothing'"),
        ({'source': '/nowhere'}, ConfigError, 'not a readable rosbag2 recording'),
    ],
)
def test_what_makes_no_sense_is_refused(tiny_run, changes, error, message):
    with pytest.raises(error, match=message):
        run_comparison(_config(tiny_run, **changes), ROBOTS)


def test_the_first_must_be_an_artifact_and_the_second_something(tiny_run, tmp_path):
    with pytest.raises(ArtifactError, match='no readable manifest'):
        run_comparison(_config(tiny_run, first=tiny_run / 'checkpoint'), ROBOTS)
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        run_comparison(_config(tiny_run, second=tmp_path), ROBOTS)


def test_policies_with_other_answers_are_not_compared(tiny_run, tmp_path):
    checkpoint = write_tiny_checkpoint(tmp_path / 'checkpoint', preset='libero')
    job = tiny_job(tmp_path, preset='libero', robot='libero_panda', method='rtn')
    list(run_job(job, ROBOTS))
    assert checkpoint.is_dir()
    with pytest.raises(ConfigError, match=r'differ in chunk_size \(25 and 8\)'):
        run_comparison(_config(tiny_run, second=tmp_path / 'artifact'), ROBOTS)


def test_the_page_shows_the_numbers_of_the_json(facts):
    page, known = read_page(comparison_page(facts)), set(all_numbers(facts))
    assert set(page.numbers) <= known
    for joint in facts['joints']:
        assert {v for v in joint.values() if not isinstance(v, str)} <= set(page.numbers)
    assert 'not measured' in page.text
    assert json.loads(json.dumps(facts)) == facts
