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

"""Episodes as a robot and a policy see them."""

from builders import robot
from episode_data import CAMERAS, demonstration, state_of
from hbvla_ros.core.episodes.episode import Episode
from hbvla_ros.core.episodes.mapping import actions_after, ChunkShape, observation_at
from hbvla_ros.core.errors import CalibrationError, ConfigError
from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

ALOHA = robot()
SAME = ChunkShape(chunk_size=3, period_s=0.02)


class _Memory:
    """An episode that never was a file."""

    def __init__(self, demo):
        self.demo = demo

    def vectors(self):
        return self.demo.state, self.demo.action

    def frame(self, camera, index):
        return self.demo.images[camera][index]


class _Watched(_Memory):
    """An episode that nobody commanded."""

    def vectors(self):
        return self.demo.state, None


def episode(demo, **changes):
    values = {
        'name': 'e',
        'cameras': tuple(demo.images),
        'length': len(demo.state),
        'period_s': demo.period_s,
        'instruction': demo.instruction,
        'source': _Memory(demo),
        **changes,
    }
    return Episode(**values)


def test_an_observation_has_the_robots_cameras_in_its_order():
    demo = demonstration()
    images = dict(reversed([*demo.images.items(), ('cam_low', demo.images['cam_high'])]))
    seen = observation_at(episode(demonstration(images=images)), 2, ALOHA)
    assert tuple(seen.images) == CAMERAS
    for camera in CAMERAS:
        np.testing.assert_array_equal(seen.images[camera], demo.images[camera][2])
    np.testing.assert_array_equal(seen.state, state_of(0, 5)[2])
    assert (seen.instruction, seen.stamp_ns) == ('pick up the cube', 40_000_000)


def test_columns_named_as_in_the_robot_file_are_put_in_its_order():
    names = ALOHA.state_names
    turned = episode(demonstration(), state_names=names[::-1], action_names=names[::-1])
    np.testing.assert_array_equal(observation_at(turned, 1, ALOHA).state, state_of(0, 5)[1][::-1])
    chunk = actions_after(turned, 1, ALOHA, SAME)
    np.testing.assert_array_equal(chunk[0], state_of(0, 5)[1][::-1] + 1)


def test_columns_with_names_of_their_own_keep_their_order():
    named = episode(demonstration(), state_names=tuple('abcdefghijklmn'))
    np.testing.assert_array_equal(observation_at(named, 1, ALOHA).state, state_of(0, 5)[1])


def test_a_camera_of_the_robot_that_the_data_lack_is_named_with_those_they_have():
    demo = demonstration()
    images = {'front': demo.images['cam_high'], 'cam_left_wrist': demo.images['cam_left_wrist']}
    with pytest.raises(CalibrationError, match=r"\['cam_high', 'cam_right_wrist'\].*'front'"):
        observation_at(episode(demonstration(images=images)), 0, ALOHA)


def test_another_width_is_refused_with_both_numbers_and_the_names():
    narrow = episode(demonstration(state=state_of(0, 5, 8)), state_names=tuple('abcdefgh'))
    message = r'state has 8 dimensions \(a, b, .* the robot file has 14 \(left_waist, '
    with pytest.raises(CalibrationError, match=message):
        observation_at(narrow, 0, ALOHA)
    with pytest.raises(CalibrationError, match='action has 8 dimensions, the robot file has 14'):
        actions_after(episode(demonstration(action=state_of(0, 5, 8))), 0, ALOHA, SAME)


def test_a_chunk_worked_by_hand():
    # Recorded every 20 ms, wanted every 50 ms after step 1: steps 1, 3.5 -> 4, 6, 8.5 -> 9, end.
    demo = demonstration(length=11)
    shape = ChunkShape(chunk_size=6, period_s=0.05)
    chunk = actions_after(episode(demo), 1, ALOHA, shape)
    np.testing.assert_array_equal(chunk, demo.action[[1, 4, 6, 9, 10, 10]])
    assert chunk.dtype == np.float32


@given(
    length=st.integers(1, 12),
    size=st.integers(1, 8),
    ratio=st.sampled_from([0.4, 0.5, 1.0, 2.0, 2.5]),
    data=st.data(),
)
def test_a_chunk_starts_at_its_step_never_runs_back_and_ends_with_the_episode(
    length, size, ratio, data
):
    index = data.draw(st.integers(0, length - 1))
    demo = demonstration(length=length)
    shape = ChunkShape(chunk_size=size, period_s=0.02 * ratio)
    chunk = actions_after(episode(demo), index, ALOHA, shape)
    steps = np.rint((chunk[:, 0] - 1) * 10).astype(int)
    assert chunk.shape == (size, 14)
    assert steps[0] == index
    wanted = np.minimum(index + np.arange(size) * ratio, length - 1)
    assert np.abs(steps - wanted).max() <= 0.5 + 1e-6
    assert (np.diff(steps) >= 0).all()


def test_an_episode_without_actions_has_no_chunk():
    demo = demonstration()
    assert actions_after(episode(demo, source=_Watched(demo)), 0, ALOHA, SAME) is None


def panda():
    """Return the delta robot and an episode of 4 steps for it."""
    images = {name: np.zeros((4, 8, 8, 3), np.uint8) for name in ('agentview', 'wrist')}
    action = np.ones((4, 7), np.float32)
    demo = demonstration(
        images=images, state=state_of(0, 4, 8), action=action, length=4, period_s=0.05
    )
    return robot('libero_panda'), episode(demo)


def test_beyond_the_end_a_position_stays_and_a_delta_is_zero():
    libero, four_steps = panda()
    shape = ChunkShape(chunk_size=3, period_s=0.05)
    chunk = actions_after(four_steps, 2, libero, shape)
    np.testing.assert_array_equal(chunk[:2], np.ones((2, 7)))
    np.testing.assert_array_equal(chunk[2], [0, 0, 0, 0, 0, 0, 1])


def test_deltas_of_another_time_step_are_refused():
    libero, four_steps = panda()
    with pytest.raises(CalibrationError, match=r'every 0\.05 s, the policy acts every 0\.1 s'):
        actions_after(four_steps, 0, libero, ChunkShape(chunk_size=3, period_s=0.1))


@pytest.mark.parametrize(('rows', 'period_s'), [(0, 0.02), (1, 0.0), (1, float('nan'))])
def test_a_chunk_without_rows_or_time_is_refused(rows, period_s):
    with pytest.raises(ConfigError, match='at least one row and a positive period'):
        ChunkShape(chunk_size=rows, period_s=period_s)
