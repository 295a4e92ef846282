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
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
import multiprocessing
from multiprocessing.synchronize import Event
import os
import signal
import threading

from hbvla_ros.core.errors import HbvlaError
from hbvla_ros.evaluate.trials import Batch, Bench, Runner, Scored
from hbvla_ros.evaluate.variant_store import VariantStore
from hbvla_ros.evaluate.variants import Variant
import torch

Piece = Variant | Batch
Doing = Future[list[Scored]]
Keep = Callable[[Piece, list[Scored]], None]
_worker: tuple[Runner, Event] | None = None  # of this process; a pool has no other place for it


def do_pieces(
    pieces: Sequence[Piece], bench: Bench, workers: int, keep: Keep
) -> Iterator[tuple[Piece, str]]:
    """
    Do all pieces; closing the iterator early stops after the running episodes.

    :param pieces: variants to make, then episodes to run; those of a variant begin when it is made
    :param bench: how trials are run
    :param workers: processes; 1 works in this one
    :param keep: is given what was scored of a piece, maybe in parts, also after a stop
    :return: after each part, the piece and what happened
    :raises HbvlaError: what a piece raises, or if a process died
    """
    count = min(workers, len(pieces))
    yield from (_spread(pieces, bench, count, keep) if count > 1 else _here(pieces, bench, keep))


def _here(pieces: Sequence[Piece], bench: Bench, keep: Keep) -> Iterator[tuple[Piece, str]]:
    threads, runner = torch.get_num_threads(), Runner(bench)
    torch.set_num_threads(1)  # as in a process of its own: sums are ordered by it
    try:
        for piece in pieces:
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
    pieces: Sequence[Piece], bench: Bench, count: int, keep: Keep
) -> Iterator[tuple[Piece, str]]:
    context = multiprocessing.get_context('spawn')
    stop, running = context.Event(), dict[Doing, Piece]()
    pool = ProcessPoolExecutor(count, context, initializer=_start, initargs=(bench, stop))
    try:
        todo = deque(pieces)
        while todo or running:
            while len(running) < count and (piece := next_piece(todo, running, bench.store)):
                running[pool.submit(_do, piece)] = piece
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                piece = running.pop(future)
                keep(piece, _result(future))
                yield piece, 'done'
    finally:
        stop.set()
        pool.shutdown()
        for future, piece in running.items():
            if future.done() and not future.exception():
                keep(piece, future.result())


def next_piece(
    todo: deque[Piece], running: Mapping[Doing, Piece], store: VariantStore
) -> Piece | None:
    """Take the first piece out of ``todo`` whose variant is not still to be made, if any."""
    name = store.name
    unmade = {name(one) for one in (*todo, *running.values()) if isinstance(one, Variant)}
    for number, piece in enumerate(todo):
        if isinstance(piece, Variant) or name(piece.trial.variant) not in unmade:
            del todo[number]
            return piece
    return None


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
