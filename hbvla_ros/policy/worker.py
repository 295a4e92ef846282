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
One thread that computes, with a mailbox that holds one item.

A robot wants the answer to what it sees now, so an item that was not begun is replaced by a newer
one and counted. Results and exceptions alike reach the caller's ``deliver``; none is lost, except
that nothing is delivered once :meth:`Worker.stop` was called.
"""

from collections.abc import Callable
from dataclasses import dataclass
import threading
from typing import Generic, TypeVar

T = TypeVar('T')
R = TypeVar('R')


@dataclass(frozen=True, slots=True, eq=False)
class Outcome(Generic[T, R]):
    """What became of one item: a ``result``, or the ``error`` that the work raised."""

    item: T
    result: R | None = None
    error: Exception | None = None


class Worker(Generic[T, R]):
    """Run ``work`` on the newest item in a thread of its own."""

    def __init__(
        self, work: Callable[[T], R], deliver: Callable[[Outcome[T, R]], None], name: str
    ) -> None:
        """
        Prepare the thread; :meth:`start` starts it.

        :param work: runs in the thread, one item at a time
        :param deliver: receives every outcome, in the thread
        :param name: of the thread
        """
        self._work = work
        self._deliver = deliver
        # A daemon: a network that never returns must not keep a stopped process alive.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._changed = threading.Condition()
        self._mailbox: list[T] = []
        self._stopping = False
        self._busy = False
        self.superseded = 0

    @property
    def busy(self) -> bool:
        """Tell whether an item is being worked on or waits."""
        with self._changed:
            return self._busy or bool(self._mailbox)

    def start(self) -> None:
        """Start the thread; once only."""
        self._thread.start()

    def submit(self, item: T) -> None:
        """Offer an item; one that still waits is replaced and counted in ``superseded``."""
        with self._changed:
            self.superseded += len(self._mailbox)
            self._mailbox = [item]
            self._changed.notify()

    def discard(self) -> None:
        """Empty the mailbox; the item that is being worked on is not affected."""
        with self._changed:
            self._mailbox = []

    def stop(self, timeout_s: float) -> bool:
        """
        Deliver nothing more and wait for the thread to end.

        :param timeout_s: how long to wait for the item in work
        :return: False if it was still at work then; its outcome will be dropped
        """
        with self._changed:
            self._stopping = True
            self._mailbox = []
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.wait_for(lambda: self._mailbox or self._stopping)
                if self._stopping:
                    return
                item = self._mailbox.pop()
                self._busy = True
            outcome = self._attempt(item)
            if not self._stopping:
                self._deliver(outcome)

    def _attempt(self, item: T) -> Outcome[T, R]:
        try:
            return Outcome(item, result=self._work(item))
        except Exception as error:  # whatever it is, the node must learn of it
            return Outcome(item, error=error)
