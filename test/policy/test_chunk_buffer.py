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

"""Which chunk may be followed."""

from hbvla_ros.core.action import ActionChunk
from hbvla_ros.policy.chunk_buffer import ChunkBuffer, Drop
from hbvla_ros.policy.schedule import ChunkConfig
import numpy as np

MS = 1_000_000
NAMES = ('a', 'b')


def chunk(stamp_ms: int, columns: int = 2) -> ActionChunk:
    return ActionChunk(actions=np.zeros((25, columns)), stamp_ns=stamp_ms * MS, period_s=0.04)


def buffer() -> ChunkBuffer:
    return ChunkBuffer(NAMES, ChunkConfig(max_chunk_age_s=0.5))


def test_a_newer_chunk_replaces_an_older_one() -> None:
    slot = buffer()

    assert slot.offer(chunk(1000), NAMES, 1100 * MS) is None
    assert slot.offer(chunk(1200), NAMES, 1300 * MS) is None
    assert slot.chunk is not None
    assert slot.chunk.stamp_ns == 1200 * MS
    assert slot.taken == 2


def test_late_and_duplicate_chunks_are_dropped_and_the_plan_is_kept() -> None:
    slot = buffer()
    slot.offer(chunk(1000), NAMES, 1100 * MS)

    assert slot.offer(chunk(1000), NAMES, 1101 * MS) is Drop.NOT_NEWER
    assert slot.offer(chunk(990), NAMES, 1102 * MS) is Drop.NOT_NEWER
    assert slot.chunk is not None
    assert slot.chunk.stamp_ns == 1000 * MS
    assert slot.drops == {Drop.NOT_NEWER: 2}


def test_other_names_or_another_order_are_dropped_and_named() -> None:
    slot = buffer()

    assert slot.offer(chunk(1000), ('b', 'a'), 1000 * MS) is Drop.NAMES
    assert slot.offer(chunk(1000, columns=3), NAMES, 1000 * MS) is Drop.NAMES
    assert (
        slot.last_drop == "names: expected the actions ['a', 'b'], got 3 columns named ['a', 'b']"
    )


def test_an_old_observation_and_one_from_the_future_are_dropped() -> None:
    slot = buffer()

    assert slot.offer(chunk(1000), NAMES, 1501 * MS) is Drop.STALE
    assert slot.offer(chunk(2000), NAMES, 1899 * MS) is Drop.FUTURE
    assert slot.last_drop == 'future: its observation is -101 ms old'


def test_a_chunk_observed_before_the_instruction_is_dropped_when_it_comes_after_it() -> None:
    slot = buffer()
    slot.offer(chunk(1000), NAMES, 1100 * MS)

    assert slot.new_instruction('fold the towel', 1150 * MS)
    assert slot.chunk is None
    assert slot.offer(chunk(1149), NAMES, 1200 * MS) is Drop.OLD_INSTRUCTION
    assert slot.offer(chunk(1150), NAMES, 1200 * MS) is None


def test_the_same_instruction_again_changes_nothing() -> None:
    slot = buffer()
    slot.new_instruction('fold the towel', 900 * MS)
    slot.offer(chunk(1000), NAMES, 1100 * MS)

    assert not slot.new_instruction(' fold the towel\n', 1150 * MS)
    assert slot.chunk is not None


def test_after_time_went_back_an_older_stamp_is_new() -> None:
    slot = buffer()
    slot.new_instruction('fold the towel', 900 * MS)
    slot.offer(chunk(1000), NAMES, 1100 * MS)
    slot.forget()

    assert slot.chunk is None
    assert slot.offer(chunk(5), NAMES, 10 * MS) is None
