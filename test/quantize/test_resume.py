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

"""A job that is killed at any moment goes on where it was and ends with the same bytes."""

import json
import os
from pathlib import Path
import re
import signal
import subprocess
import sys
import time

from builders import ROBOTS, tiny_job
from hbvla_ros.artifact.store import read_manifest
from hbvla_ros.core.errors import ArtifactError, ConfigError
from hbvla_ros.quantize import blocks
from hbvla_ros.quantize.pipeline import run_job
import pytest

TUNED = {'method': 'hbvla_plus', 'tune': 'block', 'tune_steps': 3}
QUICK = {'method': 'rtn', 'num_samples': 4}
CODE = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from builders import ROBOTS, tiny_job
from hbvla_ros.quantize.pipeline import run_job
for step in run_job(tiny_job(Path(sys.argv[1]), **json.loads(sys.argv[3])), ROBOTS):
    print(step.stage, flush=True)
"""


@pytest.fixture
def folder(tiny_run: Path, tmp_path: Path) -> Path:
    """Return a folder whose ``checkpoint`` is the shared tiny one."""
    (tmp_path / 'checkpoint').symlink_to(tiny_run / 'checkpoint')
    return tmp_path


def _start(folder, output):
    tests = Path(__file__).resolve().parents[1]
    changes = json.dumps({**TUNED, 'output': str(folder / output)})
    return subprocess.Popen(
        [sys.executable, '-c', CODE, str(folder), str(tests), changes],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        cwd=tests.parent,
    )


def _kill_after(process, count, pause):
    """Kill the job some time after it has reported its ``count``-th quantized block."""
    seen = 0
    for line in process.stdout:
        seen += line.startswith('quantize')
        if seen == count:
            break
    time.sleep(pause)
    process.send_signal(signal.SIGKILL)
    process.stdout.close()
    assert process.wait(timeout=60) == -signal.SIGKILL


def _blocks(folder, output):
    return len(list((folder / f'.{output}.partial').glob('block.*.safetensors')))


def _text(artifact):
    plain = re.sub(r'"seconds": [\d.e-]+', '', (artifact / 'manifest.json').read_text())
    return re.sub(r'"checksum": "\w+"', '', plain)


@pytest.mark.slow
def test_killed_twice_it_ends_with_the_bytes_of_an_uninterrupted_job(folder):
    assert _start(folder, 'whole').communicate(timeout=300)[0].count('quantize') > 4
    _kill_after(_start(folder, 'killed'), 1, pause=0.05)
    first = _blocks(folder, 'killed')
    _kill_after(_start(folder, 'killed'), 4, pause=0.12)
    assert 1 <= first < _blocks(folder, 'killed')
    assert not (folder / 'killed').exists()
    last = _start(folder, 'killed')
    last.communicate(timeout=300)
    assert last.returncode == 0
    weights = [(folder / name / 'model.safetensors').read_bytes() for name in ('whole', 'killed')]
    assert weights[0] == weights[1]
    assert _text(folder / 'whole') == _text(folder / 'killed')
    there = {path.name for path in folder.iterdir() if '.report.' not in path.name}
    assert there == {'checkpoint', 'killed', 'whole'}


def _stop_after(folder, steps, **changes):
    job = run_job(tiny_job(folder, **changes), ROBOTS)
    for _ in range(steps):
        next(job)
    job.close()


def test_a_finished_block_is_not_quantized_again(folder, monkeypatch):
    _stop_after(folder, 8, **QUICK)
    done = _blocks(folder, 'artifact')
    assert done >= 2
    calls = set()
    original = blocks.quantize_family

    def counted(job, block, names, moments):
        calls.add(block.name)
        original(job, block, names, moments)

    monkeypatch.setattr(blocks, 'quantize_family', counted)
    steps = list(run_job(tiny_job(folder, **QUICK), ROBOTS))
    assert f'{done} blocks done before' in steps[0].detail
    assert len(calls) == len([step for step in steps if step.stage == 'quantize']) - done
    assert not (folder / '.artifact.partial').exists()


def test_another_job_does_not_take_over_what_is_there(folder):
    _stop_after(folder, 8, **QUICK)
    with pytest.raises(ArtifactError, match=r'other settings, data or program version; remove'):
        list(run_job(tiny_job(folder, **QUICK, seed=1), ROBOTS))


def test_where_things_lie_does_not_matter(folder, tiny_run):
    _stop_after(folder, 8, **QUICK)
    changes = {'checkpoint': str(tiny_run / 'checkpoint'), 'activation_budget_mib': 0}
    steps = list(run_job(tiny_job(folder, **QUICK, **changes), ROBOTS))
    assert 'done before' in steps[0].detail


def test_a_damaged_block_is_named(folder):
    _stop_after(folder, 8, **QUICK)
    file = min((folder / '.artifact.partial').glob('block.*'))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ArtifactError, match=r'is damaged .* remove it'):
        list(run_job(tiny_job(folder, **QUICK), ROBOTS))


def test_settings_that_are_refused_leave_nothing_behind(folder):
    with pytest.raises(ConfigError, match='unknown method settings'):
        list(run_job(tiny_job(folder, settings=('speed=3',)), ROBOTS))
    assert [path.name for path in folder.iterdir()] == ['checkpoint']


@pytest.mark.parametrize('method', ['rtn', 'hbvla_plus'])
def test_activations_in_files_give_the_same_bytes(folder, method):
    for name, budget in (('memory', 4096), ('files', 0)):
        changes = {'output': str(folder / name), 'activation_budget_mib': budget}
        list(run_job(tiny_job(folder, method=method, **changes), ROBOTS))
    weights = [(folder / name / 'model.safetensors').read_bytes() for name in ('memory', 'files')]
    assert weights[0] == weights[1]
    memory, files = (read_manifest(folder / name).calibration for name in ('memory', 'files'))
    assert memory == files
