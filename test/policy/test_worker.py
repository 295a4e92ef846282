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

"""The thread that computes, with a mailbox for one item."""

import threading

from hbvla_ros.policy.worker import Outcome, Worker

PATIENCE_S = 10.0  # for events that come at once unless something is broken


class Bench:
    """A worker whose work waits until the test lets it go on."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.delivered = threading.Semaphore(0)
        self.outcomes: list[Outcome[int, int]] = []
        self.worker: Worker[int, int] = Worker(self._work, self._deliver, 'bench')
        self.worker.start()

    def _work(self, item: int) -> int:
        self.begun.release()
        assert self.go.acquire(timeout=PATIENCE_S)
        if item < 0:
            raise ValueError(f'{item} is negative')
        return item * 10

    def _deliver(self, outcome: Outcome[int, int]) -> None:
        self.outcomes.append(outcome)
        self.delivered.release()

    def finish_one(self) -> None:
        self.go.release()
        assert self.delivered.acquire(timeout=PATIENCE_S)


def test_the_newest_waiting_item_wins_and_the_replaced_ones_are_counted() -> None:
    bench = Bench()
    bench.worker.submit(1)
    assert bench.begun.acquire(timeout=PATIENCE_S)
    for item in (2, 3, 4):
        bench.worker.submit(item)
    bench.finish_one()
    bench.finish_one()

    assert [(outcome.item, outcome.result) for outcome in bench.outcomes] == [(1, 10), (4, 40)]
    assert bench.worker.superseded == 2
    assert bench.worker.stop(PATIENCE_S)


def test_an_exception_is_delivered_and_the_next_item_still_works() -> None:
    bench = Bench()
    bench.worker.submit(-1)
    bench.finish_one()
    bench.worker.submit(5)
    bench.finish_one()

    assert isinstance(bench.outcomes[0].error, ValueError)
    assert str(bench.outcomes[0].error) == '-1 is negative'
    assert bench.outcomes[1].result == 50
    assert bench.worker.stop(PATIENCE_S)


def test_a_discarded_item_is_never_begun() -> None:
    bench = Bench()
    bench.worker.submit(1)
    assert bench.begun.acquire(timeout=PATIENCE_S)
    bench.worker.submit(2)
    bench.worker.discard()
    bench.finish_one()

    assert bench.worker.stop(PATIENCE_S)
    assert [outcome.item for outcome in bench.outcomes] == [1]


def test_after_stop_nothing_is_delivered() -> None:
    bench = Bench()
    bench.worker.submit(1)
    assert bench.begun.acquire(timeout=PATIENCE_S)

    assert not bench.worker.stop(0.0)  # still at work
    bench.go.release()
    assert bench.worker.stop(PATIENCE_S)
    assert bench.outcomes == []


def test_a_worker_that_never_started_can_be_stopped() -> None:
    worker: Worker[int, int] = Worker(lambda item: item, lambda outcome: None, 'idle')

    assert worker.stop(0.0)


def test_an_idle_worker_stops_at_once() -> None:
    assert Bench().worker.stop(PATIENCE_S)
