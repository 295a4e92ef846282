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

"""Following chunks with and without delay: which row is commanded at which step."""

from hbvla_ros.core.errors import ConfigError
from hbvla_ros.evaluate.execution import ASYNCHRONOUS, BLOCKING, Execution, Follower
from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

HOLD = -1.0  # the target before any chunk


def _commanded(execution: Execution, steps: int, chunk_size: int = 8) -> list[float]:
    """Return 100 * (step of the observation) + row for every step; ``HOLD`` at the begin."""
    follower = Follower(execution, chunk_size, np.array([HOLD]))
    found = []
    for step in range(steps):
        if follower.looks(step):
            assert follower.take(step, 100.0 * step + np.arange(float(chunk_size))[:, None])
        found.append(float(follower.target(step)[0]))
    return found


def test_without_delay_whole_chunks_follow_each_other():
    rows = [float(row) for row in range(8)]
    wanted = [*rows, *(800 + row for row in rows)]
    assert _commanded(Execution(), 16) == wanted
    assert _commanded(Execution(mode=ASYNCHRONOUS), 16) == wanted


def test_execute_steps_cuts_a_chunk_off():
    assert _commanded(Execution(execute_steps=3), 7) == [0, 1, 2, 300, 301, 302, 600]


def test_a_blocking_robot_holds_and_then_follows_the_chunk_from_its_first_row():
    found = _commanded(Execution(execute_steps=3, delay_steps=2), 10)
    assert found == [HOLD, HOLD, 0, 1, 2, 2, 2, 500, 501, 502]


def test_an_asynchronous_robot_enters_a_chunk_at_the_row_of_its_age():
    # It looks at 0, 6, 12: with rows 2 to 7 of the old chunk it waits for the new one.
    found = _commanded(Execution(delay_steps=2, mode=ASYNCHRONOUS), 15)
    assert found == [HOLD, HOLD, 2, 3, 4, 5, 6, 7, 602, 603, 604, 605, 606, 607, 1202]


def test_rows_run_out_where_a_delay_is_longer_than_half_a_chunk():
    found = _commanded(Execution(delay_steps=5, mode=ASYNCHRONOUS), 13)
    assert found == [HOLD] * 5 + [5, 6, 7, 7, 7, 505, 506, 507]


def test_a_chunk_that_arrives_when_it_is_over_moves_nothing():
    assert set(_commanded(Execution(delay_steps=8, mode=ASYNCHRONOUS), 40)) == {HOLD}


@given(st.integers(2, 30), st.data())
def test_an_asynchronous_robot_is_never_behind_its_observations(chunk_size, data):
    delay = data.draw(st.integers(0, chunk_size // 2))
    rows = data.draw(st.integers(1, chunk_size))
    execution = Execution(execute_steps=rows, delay_steps=delay, mode=ASYNCHRONOUS)
    found = _commanded(execution, 80, chunk_size)
    assert found[:delay] == [HOLD] * delay
    for step, value in enumerate(found[delay:], start=delay):
        seen, row = divmod(int(value), 100)
        assert seen + row == step  # the row meant for this instant
        assert delay <= row < chunk_size


@given(st.integers(1, 30), st.integers(0, 20), st.data())
def test_a_blocking_robot_follows_the_same_rows_whatever_the_delay(chunk_size, delay, data):
    rows = data.draw(st.integers(1, chunk_size))
    late = _commanded(Execution(execute_steps=rows, delay_steps=delay), 90, chunk_size)
    period = rows + delay
    for step, value in enumerate(late):
        since = step % period
        if since >= delay:
            assert value == 100 * (step - since) + since - delay
        elif step >= period:
            assert value == late[step - 1]


def test_an_answer_that_is_not_finite_is_not_followed():
    follower = Follower(Execution(execute_steps=2), 2, np.array([HOLD]))
    assert follower.take(0, np.array([[1.0], [2.0]]))
    assert [float(follower.target(step)[0]) for step in (0, 1)] == [1, 2]
    assert follower.looks(2)
    assert not follower.take(2, np.array([[3.0], [np.nan]]))
    assert [float(follower.target(step)[0]) for step in (2, 3)] == [2, 2]
    assert follower.looks(4)


def test_following_more_rows_than_a_chunk_has_is_refused():
    with pytest.raises(ConfigError, match='predicts 8 rows'):
        Execution(execute_steps=9).interval(8)


@pytest.mark.parametrize(
    'wrong',
    [{'mode': 'eager'}, {'delay_steps': -1}, {'execute_steps': -1}, {'time_factor': 0}],
)
def test_an_execution_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ConfigError, match=r'mode|must be'):
        Execution(**wrong)


def test_the_default_waits_for_the_policy():
    assert Execution().mode == BLOCKING
