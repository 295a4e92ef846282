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

"""The linters, the types and the layers, with the real tools."""

from pathlib import Path
import subprocess
import sys

import pytest

pytestmark = pytest.mark.linter
REPOSITORY = Path(__file__).resolve().parents[1]
CODE = ['hbvla_ros', 'launch', 'test', 'benchmarks', 'setup.py']


def _run(*command: str) -> None:
    tool = Path(sys.executable).with_name(command[0])
    done = subprocess.run(
        [tool, *command[1:]], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _here() -> list[str]:
    return [str(REPOSITORY / name) for name in CODE if (REPOSITORY / name).exists()]


def test_ruff_finds_nothing():
    _run('ruff', 'check', *_here())


def test_ruff_would_format_nothing_anew():
    _run('ruff', 'format', '--check', *_here())


def test_types_are_strict_and_hold():
    _run('mypy')


def test_imports_point_downwards():
    _run('lint-imports')


def test_ament_flake8_finds_nothing():
    # In a process of its own: it forks, which a process with threads must not.
    _run('ament_flake8', *_here())


def test_ament_pep257_finds_nothing():
    _run('ament_pep257', *_here())
