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

"""Doubles of launch and launch_ros that record what a launch file builds."""

from pathlib import Path
import runpy
import sys
from types import ModuleType, SimpleNamespace

from builders import REPOSITORY
import pytest

LAUNCH = REPOSITORY / 'launch'
NAMES = {
    'launch': ['LaunchDescription'],
    'launch.actions': [
        'DeclareLaunchArgument', 'EmitEvent', 'OpaqueFunction', 'RegisterEventHandler', 'Shutdown',
    ],
    'launch.events': ['matches_action'],
    'launch_ros': [],
    'launch_ros.actions': ['LifecycleNode', 'Node'],
    'launch_ros.event_handlers': ['OnStateTransition'],
    'launch_ros.events': [],
    'launch_ros.events.lifecycle': ['ChangeState'],
    'launch_ros.parameter_descriptions': ['ParameterValue'],
    'lifecycle_msgs': [],
}  # fmt: skip


class Recorded:
    """An object that remembers how it was made."""

    def __init__(self, *args, **kwargs):
        self.args, self.kwargs = args, kwargs


@pytest.fixture
def doubles(monkeypatch):
    """Put the doubles in the place of launch and launch_ros; return their classes by name."""
    classes = {}
    for module_name, names in NAMES.items():
        module = ModuleType(module_name)
        for name in names:
            classes[name] = type(name, (Recorded,), {})
            setattr(module, name, classes[name])
        monkeypatch.setitem(sys.modules, module_name, module)
    transition = SimpleNamespace(TRANSITION_CONFIGURE=1, TRANSITION_ACTIVATE=3)
    message = ModuleType('lifecycle_msgs.msg')
    message.Transition = transition
    monkeypatch.setitem(sys.modules, 'lifecycle_msgs.msg', message)
    return SimpleNamespace(**classes)


@pytest.fixture
def load(doubles):
    """Return a function: graph to (declared arguments, function that starts it)."""

    def read(graph):
        module = runpy.run_path(str(LAUNCH / f'{graph}.launch.py'))
        (entries,) = module['generate_launch_description']().args
        *declared, opaque = entries
        defaults = {one.args[0]: one.kwargs['default_value'] for one in declared}

        def start(**values):
            context = SimpleNamespace(launch_configurations={**defaults, **values})
            return opaque.kwargs['function'](context, *opaque.kwargs['args'])

        return declared, start

    return read


@pytest.fixture
def nodes_of():
    """Return a function: actions to the nodes among them, by name."""
    return lambda actions: {
        action.kwargs['name']: action
        for action in actions
        if type(action).__name__ in ('Node', 'LifecycleNode')
    }


@pytest.fixture
def launch_folder():
    return Path(LAUNCH)
