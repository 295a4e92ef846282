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

"""Chunks as trajectories."""

from builders import robot
from hbvla_ros.core.action import ActionChunk
from hbvla_ros.core.errors import ActionError
from hbvla_ros.ros.chunks import chunk_from, chunk_message, duration_message, time_message
from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

pytestmark = pytest.mark.ros
PANDA = robot('libero_panda')


def chunk(rows: int = 8, period_s: float = 0.05, stamp_ns: int = 1_500_000_007) -> ActionChunk:
    actions = np.random.default_rng(0).normal(size=(rows, 7))
    return ActionChunk(actions=actions, stamp_ns=stamp_ns, period_s=period_s)


@given(
    rows=st.integers(1, 40),
    period_s=st.sampled_from([0.01, 0.02, 1 / 30, 0.04, 0.05, 0.07]),
    stamp_ns=st.integers(0, 2**31 * 10**9 - 1),
)
def test_a_chunk_survives_the_wire(rows: int, period_s: float, stamp_ns: int) -> None:
    sent = chunk(rows, period_s, stamp_ns)
    raw = serialize_message(chunk_message(sent, PANDA))
    message = deserialize_message(raw, JointTrajectory)
    received = chunk_from(message)

    assert tuple(message.joint_names) == PANDA.action_names
    assert np.array_equal(received.actions, sent.actions)
    assert received.stamp_ns == stamp_ns
    assert received.period_s == pytest.approx(period_s, abs=1e-9)  # whole nanoseconds


def test_a_point_names_the_end_of_its_row() -> None:
    message = chunk_message(chunk(), PANDA)

    assert message.points[0].time_from_start == duration_message(50_000_000)
    assert message.points[7].time_from_start == duration_message(400_000_000)
    assert message.header.stamp == time_message(1_500_000_007)
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (1, 500_000_007)
    assert message.header.frame_id == 'panda_link0'


def test_a_chunk_of_another_width_is_not_sent() -> None:
    narrow = ActionChunk(actions=np.zeros((2, 6)), stamp_ns=0, period_s=0.05)

    with pytest.raises(ActionError, match='6 actions, robot libero_panda has 7'):
        chunk_message(narrow, PANDA)


def test_a_message_without_points_is_refused() -> None:
    with pytest.raises(ActionError, match=r'lengths \[\]'):
        chunk_from(JointTrajectory())


def test_ragged_rows_are_refused() -> None:
    message = chunk_message(chunk(), PANDA)
    message.points[3].positions = [0.0] * 6

    with pytest.raises(ActionError, match=r'lengths \[6, 7\]'):
        chunk_from(message)


@pytest.mark.parametrize('end_ns', [0, 50_002_000, 100_000_000])
def test_uneven_rows_are_refused(end_ns: int) -> None:
    message = chunk_message(chunk(), PANDA)
    message.points[0].time_from_start = duration_message(end_ns)

    with pytest.raises(ActionError, match='time_from_start'):
        chunk_from(message)


def test_rows_without_times_are_refused() -> None:
    message = JointTrajectory(points=[JointTrajectoryPoint(positions=[0.0])])

    with pytest.raises(ActionError, match='time_from_start'):
        chunk_from(message)


@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_a_value_that_is_not_finite_makes_the_whole_chunk_unusable(bad: float) -> None:
    message = chunk_message(chunk(), PANDA)
    message.points[7].positions[6] = bad

    with pytest.raises(ActionError, match='not finite, the first in row 7, action 6'):
        chunk_from(message)
