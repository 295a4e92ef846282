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

"""Processes of an evaluation and the end of the one that started them."""

from collections import deque
from contextlib import suppress
import os
from pathlib import Path
import signal
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

from builders import REPOSITORY, ROBOTS
from hbvla_ros.evaluate.processes import next_piece
from hbvla_ros.evaluate.trials import Batch, Filming, Trial
from hbvla_ros.evaluate.variants import parse_variants
import pytest

ENDLESS = f"""
import os, time
from hbvla_ros.evaluate.processes import do_pieces
from hbvla_ros.evaluate.trials import Bench
from hbvla_ros.evaluate.variants import parse_variants
from pathlib import Path

class Endless:
    robot, robots = 'aloha_sim', Path({str(ROBOTS)!r})

    def name(self, variant):
        return variant.label

    def make(self, variant):
        os.write(1, f'{{os.getpid()}}\\n'.encode())
        while True:
            time.sleep(0.05)
            yield 'still on it'

if __name__ == '__main__':
    pieces = parse_variants(['fp', 'rtn'])
    list(do_pieces(pieces, Bench(store=Endless()), 2, print))
"""


@pytest.mark.sim
@pytest.mark.slow
def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    script = tmp_path / 'endless.py'
    script.write_text(ENDLESS)
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        cwd=REPOSITORY,
        env={**os.environ, 'PYTHONPATH': str(REPOSITORY)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert parent.stdout
        workers = {int(parent.stdout.readline()) for _ in range(2)}
        parent.kill()
        # The pipe ends when nobody is left who could write to it.
        assert parent.communicate(timeout=60) == ('', None)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)

    assert len(workers - {parent.pid}) == 2


def test_episodes_wait_only_for_the_variant_that_they_need() -> None:
    slow, quick = parse_variants(['hbvla', 'rtn'])
    store = SimpleNamespace(name=lambda variant: variant.label)
    trials = [Trial(task='aloha_pick', variant=one) for one in (slow, quick)]
    batches = [Batch(trial=one, seeds=(0,), filming=Filming()) for one in trials]
    todo: deque[Any] = deque([quick, *batches])
    running: dict[Any, Any] = {'future': slow}

    assert next_piece(todo, running, store) is quick
    assert next_piece(todo, {**running, 'other': quick}, store) is None
    assert next_piece(todo, running, store) is batches[1]
    assert next_piece(todo, running, store) is None
    assert next_piece(todo, {}, store) is batches[0]
