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

"""The set-up script says in one line what a machine lacks."""

import os
from pathlib import Path
import subprocess

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture
def machine(tmp_path):
    """Return a function that runs the set-up with stand-ins for `python3` and `uname`."""

    def run(python: str, uname: str = 'x86_64') -> subprocess.CompletedProcess[str]:
        for name, text in {'python3': python, 'uname': f'echo {uname}'}.items():
            tool = tmp_path / name
            tool.write_text(f'#!/bin/sh\n{text}\n')
            tool.chmod(0o755)
        environment = {k: v for k, v in os.environ.items() if k != 'ROS_DISTRO'}
        environment['PATH'] = f'{tmp_path}:/usr/bin:/bin'
        return subprocess.run(
            ['bash', '-c', f'source {REPOSITORY}/scripts/setup.bash'],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.parametrize(
    ('python', 'message'),
    [
        ('case "$2" in *version_info*) exit 1;; esac; echo Python 3.9.2', 'found Python 3.9.2'),
        ('case "$2" in *venv*) exit 1;; esac', 'sudo apt-get install python3-venv'),
    ],
)
def test_a_missing_tool_is_one_line_with_the_command_that_helps(machine, python, message):
    done = machine(python)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_another_processor_without_ros_is_told_to_source_one(machine):
    done = machine('case "$2" in *rclpy*) exit 1;; esac', uname='aarch64')
    assert done.returncode == 1
    assert 'source /opt/ros/<distro>/setup.bash' in done.stderr


@pytest.mark.parametrize('name', ['demo', 'test', 'lock'])
def test_a_script_is_executable_and_parses(name):
    script = REPOSITORY / 'scripts' / name
    assert os.access(script, os.X_OK)
    assert subprocess.run(['bash', '-n', script], check=False).returncode == 0
