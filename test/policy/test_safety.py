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

"""What a command may be."""

from hbvla_ros.core.errors import ActionError
from hbvla_ros.core.robot import ActionSpec
from hbvla_ros.policy.safety import beyond, limit, Limits
from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

LIMITS = Limits.of(
    [
        ActionSpec(name='arm', lower=-1.0, upper=2.0, max_velocity=1.5),
        ActionSpec(name='dx', lower=-0.5, upper=0.5, max_velocity=0.1, kind='delta'),
    ]
)
DT_S = 0.02  # one step of the arm is 0.03


@given(
    target=st.floats(-1e12, 1e12),
    start=st.floats(-1.0, 2.0),
    delta=st.floats(-1e12, 1e12),
    dt_s=st.floats(0.0, 0.1),
)
def test_no_command_breaks_a_limit(target: float, start: float, delta: float, dt_s: float) -> None:
    out = limit(np.array([target, delta]), np.array([start, np.nan]), dt_s, LIMITS).values

    assert -1.0 <= out[0] <= 2.0
    assert abs(out[0] - start) <= 1.5 * dt_s + 1e-12  # one rounding of a number near 1
    assert -0.5 <= out[1] <= 0.5


@given(arm=st.floats(-1.0, 2.0), dx=st.floats(-0.5, 0.5))
def test_a_permitted_target_is_left_alone(arm: float, dx: float) -> None:
    limited = limit(np.array([arm, dx]), np.array([arm, 0.0]), DT_S, LIMITS)

    assert limited.values.tolist() == [arm, dx]
    assert (limited.position_clamps, limited.velocity_clamps) == (0, 0)


def test_a_far_target_is_approached_by_one_step_and_counted() -> None:
    limited = limit(np.array([1.0, 0.0]), np.array([0.0, 0.0]), DT_S, LIMITS)

    assert limited.values[0] == pytest.approx(0.03)
    assert (limited.position_clamps, limited.velocity_clamps) == (0, 1)


def test_a_target_beyond_the_limits_counts_for_both_rules() -> None:
    limited = limit(np.array([9.0, 0.9]), np.array([0.0, 0.0]), DT_S, LIMITS)

    assert limited.values.tolist() == pytest.approx([0.03, 0.5])
    assert (limited.position_clamps, limited.velocity_clamps) == (2, 1)


def test_a_delta_has_no_velocity_limit() -> None:
    assert limit(np.array([0.0, 0.4]), np.array([0.0, 0.0]), DT_S, LIMITS).values[1] == 0.4


def test_an_unknown_start_leaves_only_the_position_limits() -> None:
    out = limit(np.array([1.9, 0.0]), np.array([np.nan, np.nan]), DT_S, LIMITS).values

    assert out[0] == 1.9


def test_a_start_within_one_step_of_the_limits_is_led_back_inside() -> None:
    out = limit(np.array([5.0, 0.0]), np.array([2.02, 0.0]), DT_S, LIMITS).values

    assert out[0] == 2.0
    assert beyond(np.array([2.02, 0.0]), DT_S, LIMITS).size == 0


def test_rounding_does_not_lead_past_a_limit() -> None:
    # 0.1 + 0.2 is a little more than 0.3, and one step of 0.2 back from there ends above 0.1.
    fast = Limits.of([ActionSpec(name='arm', lower=-1.0, upper=0.1, max_velocity=10.0)])

    assert limit(np.array([5.0]), np.array([0.1 + 0.2]), 0.02, fast).values[0] == 0.1


def test_a_start_further_out_is_named() -> None:
    assert beyond(np.array([2.04, 9.0]), DT_S, LIMITS).tolist() == [0]
    assert beyond(np.array([-1.04, np.nan]), DT_S, LIMITS).tolist() == [0]


def test_nobody_is_beyond_where_nothing_is_measured() -> None:
    assert beyond(np.array([np.nan, np.nan]), DT_S, LIMITS).size == 0


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_a_target_that_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(ActionError, match='not finite'):
        limit(np.array([bad, 0.0]), np.zeros(2), DT_S, LIMITS)
