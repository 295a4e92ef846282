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

"""A prefix in which the executables are small stand-ins."""

import itertools
import os
from pathlib import Path
import sys

import pytest

FAKE = Path(__file__).with_name('fake_node.py')
EXECUTABLES = ('policy_node', 'action_executor_node', 'quantize_node', 'fake_node')
# Without ROS: who is killed leaves shared memory behind.
MULE = """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('I stay', flush=True)
while True:
    signal.pause()
"""
_COUNTER = itertools.count()


@pytest.fixture
def domain():
    """Return a ROS domain of its own for each test."""
    return 1 + (os.getpid() * 13 + 50 + next(_COUNTER)) % 101


@pytest.fixture
def environment(tmp_path, domain):
    """Return an environment in which ``fake_node`` and the others are stand-ins."""
    programs = tmp_path / 'prefix' / 'lib' / 'hbvla_ros'
    programs.mkdir(parents=True)
    for name in EXECUTABLES:
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {FAKE} "$@"\n')
        program.chmod(0o755)
    mule = programs / 'mule'
    mule.write_text(f'#!{sys.executable}\n{MULE}')
    mule.chmod(0o755)
    prefixes = [str(tmp_path / 'prefix'), os.environ.get('AMENT_PREFIX_PATH', sys.prefix)]
    return {
        **os.environ,
        'AMENT_PREFIX_PATH': os.pathsep.join(prefixes),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        'ROS_DOMAIN_ID': str(domain),
    }
