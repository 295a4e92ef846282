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
Replays of a recording of the closed-loop demonstration: real nodes, a real network, real times.

``benchmarks/golden_bag.py`` recorded it: the shipped checkpoint lifts a cube in the simulator. The
same checkpoint computes the commands once more here.
"""

import json
from pathlib import Path
import tarfile

from builders import REPOSITORY, ROBOTS
from hbvla_ros.cli.replay import main
from hbvla_ros.quantize.full_precision import write_full_precision
from hbvla_ros.quantize.job import QuantizeJob
from hbvla_ros.quantize.pipeline import run_job
from hbvla_ros.testing import replay_and_check
import pytest

pytestmark = pytest.mark.slow
DATA = REPOSITORY / 'test' / 'data'
CHECKPOINT = REPOSITORY / 'models' / 'aloha_pick'
LATENCY_S = 0.1  # as in the golden record


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the recording and the policy that it was made with."""
    made = tmp_path_factory.mktemp('closed_loop')
    with tarfile.open(DATA / 'closed_loop.tar.xz') as archive:
        archive.extractall(made / 'bag', filter='data')
    write_full_precision(CHECKPOINT, made / 'policy', preset='aloha_sim', robot='aloha_sim')
    return made


def replayed(folder: Path, policy: str, *arguments: str) -> int:
    """Run the command on the recording; return its status."""
    given = ['--bag', str(folder / 'bag'), '--artifact', str(folder / policy)]
    given += ['--robot', str(ROBOTS / 'aloha_sim.yaml'), '--latency', str(LATENCY_S)]
    return main([*given, '--num-threads', '1', *arguments])


def test_the_demonstration_is_computed_as_its_golden_record_says(folder: Path) -> None:
    golden = DATA / 'closed_loop_golden.json'
    # float32 on another processor: 11 layers of dot products, far below a milliradian
    result = replay_and_check(
        folder / 'bag', folder / 'policy', 'aloha_sim',
        expect=golden, tolerance=1e-3, inference_latency_s=LATENCY_S,
    )  # fmt: skip

    assert len(result.chunks) >= 8
    assert result.rejected == {}
    assert result.executor['chunks_dropped'] == {}


def test_the_live_nodes_commanded_what_the_replay_commands(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Live predictions took 60 to 160 ms of simulated time, here all take 100 ms. Seen: 3 mrad.
    assert replayed(folder, 'policy', '--against', 'recorded', '--max-mae', '0.01') == 0
    against = json.loads(capsys.readouterr().out)['against']

    assert against['ticks'] > 60
    left = {joint['name']: joint for joint in against['joints']}['left_gripper']
    assert left['flips'][0] == left['flips'][1] >= 1, 'the gripper that lifts the cube closes'


def test_a_policy_is_compared_with_its_checkpoint_in_full_precision(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replayed(folder, 'policy', '--against', str(CHECKPOINT), '--max-mae', '0.0001') == 0
    same = json.loads(capsys.readouterr().out)['against']
    job = QuantizeJob(
        checkpoint=str(CHECKPOINT),
        output=str(folder / 'signs'),
        preset='aloha_sim',
        robot='aloha_sim',
        method='rtn',
        components=('language',),
        num_samples=1,
        probe_draws=1,
    )
    for _ in run_job(job, ROBOTS):
        pass
    assert replayed(folder, 'signs', '--against', str(CHECKPOINT), '--max-mae', '0.0001') == 1
    captured = capsys.readouterr()

    assert same['mae'] < 1e-6, 'the artifact holds the weights of the checkpoint'
    # Plain signs in the language model alone; seen: 36 mrad.
    assert 0.005 < json.loads(captured.out)['against']['mae'] < 0.2
    assert f'mean difference to {CHECKPOINT} is' in captured.err
