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

"""Whether a process is missed."""

from hbvla_ros.policy.pulse import Pulse
from hypothesis import given
from hypothesis import strategies as st

MS = 1_000_000
TICK = 20 * MS


def listened(pulse: Pulse, milliseconds: int, begun: int = 0) -> int:
    """Listen at every tick for a while; return the time then."""
    for now in range(begun, begun + milliseconds * MS + 1, TICK):
        pulse.listen(now)
    return now


def test_who_was_never_there_is_not_missed() -> None:
    pulse = Pulse(0.3)
    listened(pulse, 10_000)

    assert not pulse.lost


def test_who_falls_silent_is_lost_at_the_first_tick_after_the_lease() -> None:
    pulse = Pulse(0.3)
    pulse.listen(0)
    pulse.beat()
    now = listened(pulse, 300)

    assert not pulse.lost
    pulse.listen(now + TICK)
    assert pulse.lost


@given(st.lists(st.integers(1, 290), min_size=1, max_size=40))
def test_who_beats_within_the_lease_is_never_lost(pauses: list[int]) -> None:
    pulse, now = Pulse(0.3), 0
    pulse.beat()
    for pause in pauses:
        for _ in range(0, pause, 20):
            now += min(TICK, pause * MS)
            pulse.listen(now)
            assert not pulse.lost
        pulse.beat()


def test_who_beats_again_is_back_and_may_be_lost_again() -> None:
    pulse = Pulse(0.3)
    pulse.beat()
    now = listened(pulse, 400)
    assert pulse.lost
    pulse.beat()

    assert not pulse.lost
    listened(pulse, 400, now)
    assert pulse.lost


def test_what_the_middleware_says_counts_at_once() -> None:
    pulse = Pulse(0.3)
    pulse.gone()
    assert not pulse.lost  # nobody was there
    pulse.beat()
    pulse.gone()

    assert pulse.lost


def test_a_listener_that_stood_still_does_not_blame_the_other() -> None:
    pulse = Pulse(0.3)
    pulse.listen(0)
    pulse.beat()
    pulse.listen(5_000 * MS)

    assert not pulse.lost
    listened(pulse, 300, 5_000 * MS)
    assert pulse.lost  # the silence goes on while it listens again
