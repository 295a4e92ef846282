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

"""The whole way: checkpoint and recording in, commands over real DDS out, in real processes."""

import contextlib
import json
import os
from pathlib import Path
import re
import signal
import subprocess
import sys
import time

from builders import robot
from hbvla_ros.bringup import sim_recording
from hbvla_ros.core.bag import read_bag, write_bag
from hbvla_ros.evaluate.synthetic import EpisodeConfig, write_demo_bag
from hbvla_ros.kernels.dispatch import KERNELS
from hbvla_ros.models.tiny import write_tiny_checkpoint
import pytest

pytestmark = [pytest.mark.ros, pytest.mark.slow]
# Test processes that run side by side stay apart.
DOMAIN = 84 + int(os.environ.get('PYTEST_XDIST_WORKER', 'gw0').removeprefix('gw')) % 16
KEYS = {
    'chunks',
    'commands',
    'holds',
    'latency_ms',
    'bits_sign',
    'bits_stored',
    'artifact_bytes',
    'peak_rss_mib',
}


@pytest.fixture(scope='module')
def bag(tmp_path_factory) -> Path:
    """Return a recording of four seconds."""
    path = tmp_path_factory.mktemp('bag') / 'episode'
    write_demo_bag(path, robot(), EpisodeConfig(seconds=4.0, size=(240, 320), camera_hz=15.0))
    return path


def _abandoned() -> set[str]:
    """Return the shared memory of Fast DDS for our domain's ports that no process maps."""
    mapped = set()
    for maps in Path('/proc').glob('[0-9]*/maps'):
        with contextlib.suppress(OSError):  # the process has just ended
            mapped |= set(re.findall(r'/dev/shm/(\S+)', maps.read_text(encoding='utf-8')))
    first = 7400 + 250 * DOMAIN  # the ports of a domain, by the rule of RTPS
    ours = {path.name for path in Path('/dev/shm').glob('fastdds_port*')}
    ports = {name: int(re.findall(r'\d+', name)[0]) for name in ours}
    return {name for name, port in ports.items() if first <= port < first + 250} - mapped


def _demo(*options: str) -> list[str]:
    return [sys.executable, '-m', 'hbvla_ros.bringup.demo', *options]


def _environment() -> dict[str, str]:
    return {
        **os.environ,
        'ROS_DOMAIN_ID': str(DOMAIN),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
    }


def _run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _demo(*options),
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )


def test_the_demo_turns_pictures_into_commands_and_accounts_for_every_message(
    tiny_run, bag, tmp_path
):
    before = _abandoned()
    options = ('--replay', '--checkpoint', str(tiny_run / 'checkpoint'), '--bag', str(bag))
    done = _run(*options, '--out', str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / 'summary.json').read_text())
    assert set(summary) >= KEYS
    assert summary['chunks'] >= 4  # one per half a second of recording
    assert summary['commands'] >= 100  # two arms at 50 Hz for more than one of four seconds
    assert summary['unexplained_drops'] == 0
    assert set(summary['exit_codes'].values()) == {0}
    assert summary['bits_sign'] == 1.0
    assert summary['bits_stored'] < 2
    assert all(peak > 20 for peak in summary['peak_rss_mib'].values())
    assert 'data:image/png' in (tmp_path / 'report.html').read_text()
    assert 'stored bits' in done.stdout
    assert _abandoned() <= before


def test_a_recording_without_a_camera_is_refused_by_name(tiny_run, bag, tmp_path):
    blind = tmp_path / 'blind'
    write_bag(
        blind,
        ((i.topic, i.message, i.stamp_ns) for i in read_bag(bag) if 'cam_high' not in i.topic),
    )
    options = ('--replay', '--checkpoint', str(tiny_run / 'checkpoint'), '--bag', str(blind))
    done = _run(*options, '--out', str(tmp_path / 'out'))
    assert done.returncode == 1
    assert "lacks ['cam_high/camera/color/image_rect_raw']" in done.stderr
    assert not (tmp_path / 'out' / 'summary.json').exists()


def test_a_checkpoint_that_is_none_is_refused(bag, tmp_path):
    options = ('--replay', '--checkpoint', str(tmp_path), '--bag', str(bag))
    done = _run(*options, '--out', str(tmp_path / 'out'))
    assert done.returncode == 1
    assert 'model.safetensors.index.json is missing' in done.stderr


def test_keep_running_leaves_the_nodes_up_until_ctrl_c(tiny_run, bag, tmp_path):
    options = ('--checkpoint', str(tiny_run / 'checkpoint'), '--bag', str(bag), '--keep-running')
    demo = subprocess.Popen(
        _demo('--replay', *options, '--out', str(tmp_path)),
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = []
    for line in demo.stdout:
        lines.append(line)
        if 'the nodes keep running' in line:
            time.sleep(0.5)
            assert demo.poll() is None
            demo.send_signal(signal.SIGINT)
    assert demo.wait(30) == 0, ''.join(lines)
    assert (tmp_path / 'summary.json').exists()


@pytest.mark.sim
def test_the_demo_drives_the_simulated_robot_over_dds_and_can_be_replayed(tmp_path):
    before = _abandoned()
    checkpoint = write_tiny_checkpoint(tmp_path / 'checkpoint', preset='aloha_sim')
    given = ('--checkpoint', str(checkpoint), '--method', 'rtn', '--record')
    # An untrained policy fails, which takes the whole time of an episode.
    given += ('--episodes', '2', '--demonstrations', '2', '--rate', '4')
    done = _run(*given, '--out', str(tmp_path / 'out'))
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / 'out' / 'summary.json').read_text())
    assert (summary['episodes'], summary['successes']) == (2, 0)
    assert summary['chunks'] >= 10
    assert summary['commands'] >= 100
    assert summary['method'] == 'rtn'
    assert summary['bits_sign'] == 1.0
    assert set(summary['exit_codes'].values()) == {0}
    assert summary['latency_ms']['inference']['p50_ms'] > 0
    assert summary['kernel'].split(' ')[0] in KERNELS
    again = sim_recording.replayed(
        tmp_path / 'out' / 'bag', robot('aloha_sim'), tmp_path / 'out' / 'artifact'
    )
    assert again == summary['replay']
    assert again['commands'] >= 100
    assert (tmp_path / 'out' / 'report.html').read_text().count('data:image/png') == 2
    assert 'no success' in done.stdout
    assert _abandoned() <= before


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (('--task', 'aloha_juggle'), 'unknown task'),
        (('--instruction', 'dance'), 'no scene of aloha_pick'),
        (('--episodes', '0'), 'episodes must be at least 1'),
        (('--checkpoint', 'nowhere'), 'no checkpoint nowhere'),
        (('--method', 'magic'), 'hbvla_plus'),
    ],
)
@pytest.mark.sim
def test_a_demo_that_can_not_be_is_refused_before_anything_starts(options, words, tmp_path):
    done = _run('--checkpoint', str(tmp_path), '--out', str(tmp_path / 'out'), *options)
    assert done.returncode == 1
    assert words in done.stderr
