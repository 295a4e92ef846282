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

"""The package as users install it: colcon build, then the installed executables."""

import os
from pathlib import Path
import shutil
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.ros]
REPOSITORY = Path(__file__).resolve().parents[1]
EXECUTABLES = (
    'policy_node', 'action_executor_node', 'quantize_node', 'bag_player', 'sim_node', 'bringup',
)  # fmt: skip
SHARED = (
    'package.xml',
    'launch/policy.launch.py',
    'config/policy.yaml',
    'config/robots/mobile_aloha.yaml',
    'config/fastdds_large_images.xml',
)
SCRIPTS = (
    'hbvla_quantize',
    'hbvla_show',
    'hbvla_compare',
    'hbvla_sensitivity',
    'hbvla_replay',
    'hbvla_eval',
    'hbvla_doctor',
    'build_kernels',
)


@pytest.fixture(scope='module', params=[(), ('--symlink-install',)], ids=['copied', 'symlinked'])
def workspace(request, tmp_path_factory) -> Path:
    """Return a workspace in which the package was built by colcon."""
    folder = tmp_path_factory.mktemp('workspace')
    ignored = shutil.ignore_patterns('.*', 'build', 'install', 'log', '__pycache__')
    shutil.copytree(REPOSITORY, folder / 'src' / 'hbvla_ros', ignore=ignored)
    done = subprocess.run(
        [Path(sys.executable).with_name('colcon'), 'build', '--merge-install', *request.param],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def _run(workspace: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as after `source install/setup.bash`, far from the repository."""
    setup = workspace / 'install' / 'local_setup.bash'
    environment = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
    environment['ROS_DOMAIN_ID'] = '97'
    return subprocess.run(
        ['bash', '-c', f'source {setup} && {command}'],
        cwd=workspace,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_executables_lie_where_ros2_run_looks_for_them(workspace):
    folder = workspace / 'install' / 'lib' / 'hbvla_ros'
    assert {path.name for path in folder.iterdir()} == {*EXECUTABLES, *SCRIPTS}


def test_shared_files_and_the_index_marker_are_installed(workspace):
    share = workspace / 'install' / 'share'
    assert (share / 'ament_index/resource_index/packages/hbvla_ros').exists()
    for name in SHARED:
        assert (share / 'hbvla_ros' / name).exists(), name


def test_the_installed_code_is_the_one_that_runs(workspace):
    done = _run(
        workspace,
        f'{sys.executable} -c "import hbvla_ros, hbvla_ros.core.share as s; '
        'print(hbvla_ros.__file__, s.robots_folder())"',
    )
    code, robots = done.stdout.split()
    assert str(workspace) in code, done.stderr
    assert str(workspace / 'install') in robots


def test_the_native_kernels_were_built_and_load(workspace):
    if shutil.which('c++') is None:
        pytest.skip('no C++ compiler: the package installs without native kernels')
    code = 'from hbvla_ros.kernels.native import library; print(library() is not None)'
    done = _run(workspace, f'{sys.executable} -c "{code}"')
    assert done.stdout.strip() == 'True', done.stdout + done.stderr


@pytest.mark.parametrize('name', SCRIPTS)
def test_a_console_script_explains_itself(workspace, name):
    done = _run(workspace, f'install/lib/hbvla_ros/{name} --help')
    assert done.returncode == 0, done.stderr
    assert 'usage' in done.stdout


def test_the_quantize_node_fails_with_a_reason_when_told_nothing(workspace):
    done = _run(workspace, 'install/lib/hbvla_ros/quantize_node')
    assert done.returncode == 1, done.stdout + done.stderr
    assert 'checkpoint' in done.stdout + done.stderr
