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

"""
Keep the one chunk that may be followed now.

A chunk is taken whole or dropped whole, with a counted reason. Only newer observations replace
older ones, and what was observed before an instruction belongs to the instruction before it.
Times are passed in.
"""

from collections import Counter
from collections.abc import Sequence
from enum import Enum

from hbvla_ros.core.action import ActionChunk
from hbvla_ros.policy.safety import far_from, Floats, jump_in, Limits
from hbvla_ros.policy.schedule import ChunkConfig, Lapse, row_due


class Drop(Enum):
    """Why a chunk was not taken."""

    INVALID = 'invalid'  # not finite, ragged or unevenly timed: it never became a chunk
    NAMES = 'names'
    STALE = 'stale'
    FUTURE = 'future'
    NOT_NEWER = 'not_newer'
    OLD_INSTRUCTION = 'old_instruction'
    BEFORE_LOSS = 'before_loss'  # observed before the policy was lost and came back
    BEFORE_RESUME = 'before_resume'  # observed before a pause ended
    JUMP = 'jump'  # it holds a change that no honest prediction contains


_LAPSES = {Lapse.FUTURE: Drop.FUTURE, Lapse.STALE: Drop.STALE, Lapse.OVER: Drop.STALE}


class ChunkBuffer:
    """The newest usable chunk, and what became of the others."""

    def __init__(
        self, names: Sequence[str], config: ChunkConfig, limits: Limits | None = None
    ) -> None:
        """
        Start empty.

        :param names: the robot's actions, in order
        :param config: how old or early a chunk may be
        :param limits: bound the changes of a chunk that is believed; None believes all
        """
        self.chunk: ActionChunk | None = None
        self.taken = 0
        self.drops: Counter[Drop] = Counter()
        self.last_drop = ''  # in words
        self._names = tuple(names)
        self._config = config
        self._limits = limits
        self._newest_ns: int | None = None
        self._instruction: str | None = None
        self._not_before: tuple[int, Drop] | None = None

    def offer(
        self,
        chunk: ActionChunk,
        names: Sequence[str],
        now_ns: int,
        reference: Floats | None = None,
        moved_ns: int | None = None,
    ) -> Drop | None:
        """
        Take a chunk or drop it.

        :param chunk: the prediction
        :param names: what its columns are
        :param now_ns: the present
        :param reference: ``[A]`` where the robot is; NaN or None where nobody knows
        :param moved_ns: how long the robot moved since the observation; None: all the time
        :return: why it was dropped, or None if it was taken
        """
        columns = chunk.actions.shape[1]
        if tuple(names) != self._names or columns != len(self._names):
            return self.drop(
                Drop.NAMES,
                f'expected the actions {list(self._names)}, got {columns} columns named '
                f'{list(names)}',
            )
        if self._newest_ns is not None and chunk.stamp_ns <= self._newest_ns:
            return self.drop(Drop.NOT_NEWER, 'it is not newer than the one before it')
        if self._not_before is not None and chunk.stamp_ns < self._not_before[0]:
            return self.drop(self._not_before[1], 'its observation precedes the event')
        due = row_due(chunk, now_ns, self._config, moved_ns)
        if isinstance(due, Lapse):
            age_ms = (now_ns - chunk.stamp_ns) / 1e6
            return self.drop(_LAPSES[due], f'its observation is {age_ms:.0f} ms old')
        jump = self._jump(chunk, due, reference)
        if jump:
            return self.drop(Drop.JUMP, jump)
        self.chunk, self._newest_ns = chunk, chunk.stamp_ns
        self.taken += 1
        return None

    def _jump(self, chunk: ActionChunk, due: int, reference: Floats | None) -> str:
        if self._limits is None:
            return ''
        found = jump_in(chunk.actions, self._limits, self._names)
        if found or reference is None:
            return found
        return far_from(chunk.actions[due], reference, self._limits, self._names)

    def drop(self, reason: Drop, detail: str) -> Drop:
        """Count a chunk that is not taken, and keep the reason in words."""
        self.drops[reason] += 1
        self.last_drop = f'{reason.value}: {detail}'
        return reason

    def new_instruction(self, text: str, now_ns: int) -> bool:
        """
        Drop what was observed before another instruction.

        :param text: the instruction; the same text again changes nothing
        :param now_ns: when it arrived
        :return: True if it differs from the one before
        """
        if text.strip() == self._instruction:
            return False
        self._instruction = text.strip()
        self.only_after(now_ns, Drop.OLD_INSTRUCTION)
        return True

    def only_after(self, now_ns: int, reason: Drop) -> None:
        """
        Drop the chunk, and from now on whatever was observed before an event.

        :param now_ns: when the event happened
        :param reason: counted for each chunk that precedes it
        """
        self._not_before = (now_ns, reason)
        self.chunk = None

    def forget(self) -> None:
        """Drop the chunk and all stamps, because time itself went back."""
        self.chunk = self._newest_ns = self._not_before = None
