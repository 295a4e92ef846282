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

"""Small robots for the tests of core."""

import copy

import pytest
import yaml

GRIP = {'name': 'grip', 'closed': 0.5, 'open': 1.5}
TINY = {
    'name': 'tiny',
    'description': 'two joints and a gripper',
    'cameras': [{'name': 'top', 'topic': 'top/image'}, {'name': 'side', 'topic': 'side/image'}],
    'states': [
        {'topic': 'arm/states', 'joints': ['waist', GRIP]},
        {'topic': 'base/states', 'joints': [{'name': 'turn', 'wire': 'wheel'}]},
    ],
    'actions': [
        {'name': 'waist', 'lower': -1.0, 'upper': 1.0, 'max_velocity': 2.0},
        {'name': 'grip', 'lower': 0.0, 'upper': 1.0, 'max_velocity': 3.0},
        {'name': 'turn', 'lower': -0.5, 'upper': 0.5, 'max_velocity': 1.0, 'kind': 'delta'},
    ],
    'outputs': [
        {
            'topic': 'arm/command',
            'joints': ['waist', GRIP],
        },
        {'topic': 'base/command', 'joints': [{'name': 'turn', 'wire': 'wheel'}]},
    ],
}


@pytest.fixture
def tiny_data():
    """Return the contents of a small, sound robot file, free to be spoilt."""
    return copy.deepcopy(TINY)


@pytest.fixture
def load(tmp_path):
    """Return a function that writes a robot file and reads it back."""
    from hbvla_ros.core.robot import RobotSpec

    def write_and_read(data):
        path = tmp_path / 'robot.yaml'
        path.write_text(data if isinstance(data, str) else yaml.safe_dump(data))
        return RobotSpec.from_yaml(path)

    return write_and_read


@pytest.fixture
def tiny(load, tiny_data):
    """Return the small robot."""
    return load(tiny_data)
