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

"""Which row of a chunk is due at an instant."""

from hbvla_ros.core.action import ActionChunk
from hbvla_ros.core.errors import ConfigError
from hbvla_ros.policy.schedule import ChunkConfig, Lapse, row_due
from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

SECOND = 1_000_000_000
CONFIG = ChunkConfig(max_chunk_age_s=2.0, future_tolerance_s=0.1)


def chunk(rows: int = 25, period_s: float = 0.04, stamp_ns: int = 5 * SECOND) -> ActionChunk:
    return ActionChunk(actions=np.zeros((rows, 2)), stamp_ns=stamp_ns, period_s=period_s)


@given(
    row=st.integers(0, 24),
    within=st.floats(0.0, 0.999),
    period_s=st.sampled_from([0.01, 0.02, 1 / 30, 0.04, 0.05, 0.07]),
)
def test_a_row_is_due_during_its_own_interval(row: int, within: float, period_s: float) -> None:
    period_ns = round(period_s * 1e9)
    now_ns = 5 * SECOND + row * period_ns + int(within * period_ns)

    assert row_due(chunk(period_s=period_s), now_ns, CONFIG) == row


def test_rows_that_passed_during_inference_are_skipped() -> None:
    # 130 ms after the observation, rows of 40 ms: rows 0, 1 and 2 ended at 40, 80 and 120 ms.
    assert row_due(chunk(), 5 * SECOND + 130_000_000, CONFIG) == 3


def test_a_row_starts_at_its_first_nanosecond() -> None:
    assert row_due(chunk(period_s=0.07), 5 * SECOND + 69_999_999, CONFIG) == 0
    assert row_due(chunk(period_s=0.07), 5 * SECOND + 70_000_000, CONFIG) == 1


def test_nothing_is_due_after_the_last_row() -> None:
    assert row_due(chunk(), 6 * SECOND - 1, CONFIG) == 24
    assert row_due(chunk(), 6 * SECOND, CONFIG) is Lapse.OVER


def test_the_age_limit_cuts_off_a_longer_chunk() -> None:
    long = chunk(rows=100)

    assert row_due(long, 7 * SECOND, CONFIG) == 50
    assert row_due(long, 7 * SECOND + 1, CONFIG) is Lapse.STALE


def test_an_observation_slightly_ahead_of_the_clock_counts_as_now() -> None:
    assert row_due(chunk(), 5 * SECOND - 100_000_000, CONFIG) == 0
    assert row_due(chunk(), 5 * SECOND - 100_000_001, CONFIG) is Lapse.FUTURE


@pytest.mark.parametrize('age', [0.0, -1.0, float('nan')])
def test_an_age_limit_that_is_not_positive_is_refused(age: float) -> None:
    with pytest.raises(ConfigError, match=f'max_chunk_age_s must be positive, got {age}'):
        ChunkConfig(max_chunk_age_s=age)


def test_a_negative_tolerance_is_refused() -> None:
    with pytest.raises(ConfigError, match=r'future_tolerance_s must not be negative, got -0\.1'):
        ChunkConfig(future_tolerance_s=-0.1)
