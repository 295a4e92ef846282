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

"""Intervals and paired comparisons of success."""

from hbvla_ros.core.errors import ConfigError
from hbvla_ros.evaluate.retention import mcnemar_exact, paired, wilson_interval
from hypothesis import given
from hypothesis import strategies as st
import pytest

COUNTS = st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(COUNTS)
def test_the_interval_holds_the_rate_and_is_that_of_the_failures_mirrored(counts):
    successes, episodes = counts
    low, high = wilson_interval(successes, episodes)
    assert 0 <= low <= successes / episodes <= high <= 1
    mirrored = wilson_interval(episodes - successes, episodes)
    assert (1 - high, 1 - low) == pytest.approx(mirrored, abs=1e-12)


@given(COUNTS)
def test_more_episodes_of_the_same_rate_narrow_the_interval(counts):
    successes, episodes = counts
    low, high = wilson_interval(successes, episodes)
    lower, higher = wilson_interval(4 * successes, 4 * episodes)
    assert higher - lower < high - low


def test_intervals_known_from_elsewhere():
    assert wilson_interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=5e-5)
    # z^2 / (n + z^2) with z = 1.96
    assert wilson_interval(0, 50) == pytest.approx((0, 3.8415 / 53.8415), abs=1e-5)
    assert wilson_interval(50, 50) == pytest.approx((50 / 53.8415, 1), abs=1e-5)


@pytest.mark.parametrize('counts', [(-1, 5), (6, 5), (0, 0)])
def test_counts_that_make_no_sense_are_refused(counts):
    with pytest.raises(ConfigError, match='make no rate'):
        wilson_interval(*counts)


def test_the_exact_probability_of_five_against_one():
    # Of 64 ways to split six, those at least as uneven: 2 * (1 + 6).
    assert mcnemar_exact(5, 1) == mcnemar_exact(1, 5) == 14 / 64
    assert mcnemar_exact(0, 0) == mcnemar_exact(3, 3) == 1


def _outcomes(both, lost, gained, neither):
    reference = [True] * (both + lost) + [False] * (gained + neither)
    other = [True] * both + [False] * lost + [True] * gained + [False] * neither
    return dict(enumerate(reference)), dict(enumerate(other))


def test_a_comparison_counts_what_changed_on_seeds_that_both_have():
    reference, other = _outcomes(70, 10, 5, 15)
    other[1000] = True
    found = paired(reference, other)
    assert (found.episodes, found.lost, found.gained) == (100, 10, 5)
    assert found.retention == 75 / 80
    assert found.p_value == mcnemar_exact(10, 5)


def test_the_interval_of_retention_is_that_of_bonett_and_price():
    # By their formulas: of 85 episodes with a success, 75 and 80; a = sqrt(17 / (76 * 81)),
    # b = sqrt((1 - 76 / 87) / 76), c = sqrt((1 - 81 / 87) / 81), z = a / (b + c) * 1.96 = 1.4721;
    # Wilson intervals with that z: 0.82116 .. 0.92453 and 0.89152 .. 0.96890.
    found = paired(*_outcomes(70, 10, 5, 15))
    assert found.low == pytest.approx(0.82116 / 0.96890, abs=3e-5)
    assert found.high == pytest.approx(0.92453 / 0.89152, abs=3e-5)


@given(*[st.integers(0, 60)] * 4)
def test_exchanging_the_policies_inverts_the_ratio(both, lost, gained, neither):
    if not both:
        return
    one = paired(*_outcomes(both, lost, gained, neither))
    other = paired(*reversed(_outcomes(both, lost, gained, neither)))
    assert one.low <= one.retention <= one.high
    assert other.retention == pytest.approx(1 / one.retention)
    assert (other.low, other.high) == pytest.approx((1 / one.high, 1 / one.low))
    assert (other.lost, other.gained) == (one.gained, one.lost)


def test_nothing_is_retained_of_no_success():
    found = paired(*_outcomes(0, 0, 3, 5))
    assert found.retention != found.retention  # NaN
    assert found.gained == 3
