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
Spread the pieces of an evaluation over processes, or do them here.

Processes are spawned, each with one thread of torch. They ignore Ctrl-C: the parent tells them to
stop, and what they have finished by then comes back. Where the parent is killed, they end as well.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
import multiprocessing
from multiprocessing.synchronize import Event
import os
import signal
import threading

from hbvla_ros.core.errors import HbvlaError
from hbvla_ros.evaluate.trials import Batch, Bench, Runner, Scored
from hbvla_ros.evaluate.variants import Variant
import torch

Piece = Variant | Batch
Doing = Future[list[Scored]]
Keep = Callable[[Piece, list[Scored]], None]
_worker: tuple[Runner, Event] | None = None  # of this process; a pool has no other place for it


def do_pieces(
    phases: Sequence[Sequence[Piece]], bench: Bench, workers: int, keep: Keep
) -> Iterator[tuple[Piece, str]]:
    """
    Do all pieces; closing the iterator early stops after the running episodes.

    :param phases: variants to make and episodes to run; a phase begins when the one before is done
    :param bench: how trials are run
    :param workers: processes; 1 works in this one
    :param keep: is given what was scored of a piece, maybe in parts, also after a stop
    :return: after each part, the piece and what happened
    :raises HbvlaError: what a piece raises, or if a process died
    """
    count = min(workers, max(map(len, phases), default=0))
    yield from (_spread(phases, bench, count, keep) if count > 1 else _here(phases, bench, keep))


def _here(
    phases: Sequence[Sequence[Piece]], bench: Bench, keep: Keep
) -> Iterator[tuple[Piece, str]]:
    threads, runner = torch.get_num_threads(), Runner(bench)
    torch.set_num_threads(1)  # as in a process of its own: sums are ordered by it
    try:
        for piece in (piece for phase in phases for piece in phase):
            if isinstance(piece, Variant):
                yield from ((piece, text) for text in runner.make(piece))
                continue
            for scored in runner.run(piece):
                keep(piece, [scored])
                yield piece, 'episode'
    finally:
        torch.set_num_threads(threads)
        runner.close()


def _spread(
    phases: Sequence[Sequence[Piece]], bench: Bench, count: int, keep: Keep
) -> Iterator[tuple[Piece, str]]:
    context = multiprocessing.get_context('spawn')
    stop, running = context.Event(), dict[Doing, Piece]()
    pool = ProcessPoolExecutor(count, context, initializer=_start, initargs=(bench, stop))
    try:
        for phase in phases:
            for future in _completed(pool, deque(phase), running, count):
                piece = running.pop(future)
                keep(piece, _result(future))
                yield piece, 'done'
    finally:
        stop.set()
        pool.shutdown()
        for future, piece in running.items():
            if future.done() and not future.exception():
                keep(piece, future.result())


def _completed(
    pool: ProcessPoolExecutor, todo: deque[Piece], running: dict[Doing, Piece], count: int
) -> Iterator[Doing]:
    """Yield what is done, which the caller takes out of ``running``, and begin with the rest."""
    while todo or running:
        more = [todo.popleft() for _ in range(min(len(todo), count - len(running)))]
        running |= {pool.submit(_do, piece): piece for piece in more}
        yield from wait(running, return_when=FIRST_COMPLETED).done


def _result(future: Doing) -> list[Scored]:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise HbvlaError(
            'a process of the evaluation died, perhaps for want of memory; the same command with '
            'fewer --workers goes on from here'
        ) from error


def _start(bench: Bench, stop: Event) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _worker = Runner(bench), stop


def _end_with_parent() -> None:
    """Wait for the end of the parent; a pool waits for its next piece for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)  # no clean-up: an episode that runs would go on, and nobody takes its result


def _do(piece: Piece) -> list[Scored]:
    assert _worker is not None
    runner, stop = _worker
    scored: list[Scored] = []
    if isinstance(piece, Variant):
        for _ in runner.make(piece):
            if stop.is_set():
                break
        return scored
    for one in runner.run(piece):
        scored.append(one)
        if stop.is_set():
            break
    return scored
