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

from contextlib import suppress
import os
from pathlib import Path
import signal
import subprocess
import sys

from builders import REPOSITORY, ROBOTS
import pytest

ENDLESS = f"""
import os, time
from hbvla_ros.evaluate.processes import do_pieces
from hbvla_ros.evaluate.trials import Bench
from hbvla_ros.evaluate.variants import parse_variants
from pathlib import Path

class Endless:
    robot, robots = 'aloha_sim', Path({str(ROBOTS)!r})

    def make(self, variant):
        os.write(1, f'{{os.getpid()}}\\n'.encode())
        while True:
            time.sleep(0.05)
            yield 'still on it'

if __name__ == '__main__':
    pieces = parse_variants(['fp', 'rtn'])
    list(do_pieces([pieces], Bench(store=Endless()), 2, print))
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
