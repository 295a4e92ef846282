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
Which processes make up a running system: one description for ``ros2 launch`` and for the runner.

A graph has a name, a table of arguments (texts, as on the command line of ``ros2 launch``) and a
function that turns their values into :class:`NodeSpec`. An argument that is left empty changes
nothing: the parameter files hold the defaults. Nothing here knows ROS or starts a process.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hbvla_ros.core.errors import ConfigError
from hbvla_ros.core.robot import find_robot
from hbvla_ros.core.share import robots_folder, share_folder
from hbvla_ros.policy.pacing import PACINGS
from hbvla_ros.policy.plan import MODES

PACKAGE = 'hbvla_ros'
POLICY, EXECUTOR, QUANTIZE, PLAYER, SIM = (
    'hbvla_policy',
    'hbvla_executor',
    'hbvla_quantize',
    'hbvla_bag_player',
    'hbvla_sim',
)
SIM_ROBOT = 'aloha_sim'
BOOLEANS = ('true', 'false')
_OLD_NAME_OF_PROFILE = ('foxy', 'galactic', 'humble', 'iron', 'jazzy')


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    """
    One process: an executable of this package and what it is told.

    ``parameters`` come after ``parameter_files`` and win. ``lifecycle`` nodes are configured and
    activated by who starts them. ``ends_graph`` marks the node whose end is the end of all.
    """

    executable: str
    name: str
    namespace: str = ''
    parameter_files: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    remappings: tuple[tuple[str, str], ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    log_level: str = 'info'
    lifecycle: bool = False
    ends_graph: bool = False

    @property
    def full_name(self) -> str:
        """Return the name of the node with its namespace."""
        return '/'.join(['', *filter(None, self.namespace.split('/')), self.name])


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a graph; empty ``choices`` allow any text."""

    name: str
    default: str
    description: str
    choices: tuple[str, ...] = ()


_COMMON = (
    Argument('namespace', '', 'namespace of all nodes and of their relative topics'),
    Argument('config', '', 'parameter file (YAML) that is read after ours'),
    Argument('log_level', 'info', 'of all nodes', ('debug', 'info', 'warn', 'error', 'fatal')),
    Argument('robot', '', 'name of a robot file, or its path'),
)
_RUN = (
    Argument('model_path', '', 'folder of the packed artifact'),
    Argument('default_instruction', '', 'the task until a message names another'),
    Argument('image_transport', '', 'raw or compressed images', ('', 'raw', 'compressed')),
    Argument('command_adapter', '', 'message type of the commands'),
    Argument('chunk_mode', '', 'how one chunk follows another', ('', *MODES)),
    Argument('pacing', '', 'predict while the robot moves, or only when it waits', ('', *PACINGS)),
    Argument('device', '', 'torch device that runs the policy'),
    Argument('publish_seen', '', 'publish what the policy saw', ('', *BOOLEANS)),
    Argument('autostart', 'true', 'configure and activate (motion stays disabled)', BOOLEANS),
    Argument(
        'fastdds_profile',
        'auto',
        'Fast DDS profile (XML): a path, off, or auto for our shared memory large enough for '
        'images unless the environment names another',
    ),
)
_DRY_RUN = Argument('dry_run', '', 'compute, but publish no command', ('', *BOOLEANS))
_SIM_TIME = Argument('use_sim_time', '', 'take the time from /clock', ('', *BOOLEANS))
_QUANTIZE = (
    Argument('checkpoint', '', 'folder of the full-precision checkpoint'),
    Argument('output', '', 'folder of the artifact to write'),
    Argument('calibration', '', 'folder of a recording with observations, or synthetic'),
    Argument('model', '', 'kind of network'),
    Argument('preset', '', 'how the checkpoint was trained'),
    Argument('method', '', 'binarization method'),
)
_REPLAY = (
    Argument('bag', '', 'folder of the recording'),
    Argument('rate', '1.0', 'speed of the recording; 2.0 is twice as fast'),
)
_SIMULATION = (
    Argument('task', 'aloha_pick', 'what the episodes are about'),
    Argument('instruction', '', 'show only scenes with this instruction'),
    Argument('seed', '', 'of the first episode'),
    Argument('rate', '1.0', 'speed of simulated time; 0.5 is half of real time'),
)
# Which arguments are parameters of which node.
_OF_POLICY = (
    'robot', 'model_path', 'default_instruction', 'image_transport', 'pacing', 'device',
    'publish_seen', 'use_sim_time',
)  # fmt: skip
_OF_EXECUTOR = ('robot', 'command_adapter', 'chunk_mode', 'dry_run', 'use_sim_time')
ARGUMENTS: dict[str, tuple[Argument, ...]] = {
    'policy': (*_COMMON, *_RUN, _DRY_RUN, _SIM_TIME),
    'quantize': (*_COMMON, *_QUANTIZE),
    'replay': (*_COMMON, *_RUN, *_REPLAY),
    'simulation': (*_COMMON, *_RUN, *_SIMULATION),
}


def build_graph(
    graph: str, values: Mapping[str, str], environment: Mapping[str, str]
) -> list[NodeSpec]:
    """
    Describe the processes of a graph.

    :param graph: a name of ``ARGUMENTS``
    :param values: by argument; absent ones have their default
    :param environment: of this process; only the transport profile depends on it
    :return: what to start
    :raises ConfigError: for an unknown graph or argument, or a value that is not allowed
    """
    if graph not in ARGUMENTS:
        raise ConfigError(f'unknown graph {graph!r}; known: {", ".join(ARGUMENTS)}')
    known = {argument.name: argument for argument in ARGUMENTS[graph]}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ConfigError(f'graph {graph} has no arguments {unknown}; known: {sorted(known)}')
    given = {name: values.get(name, argument.default) for name, argument in known.items()}
    for name, argument in known.items():
        if argument.choices and given[name] not in argument.choices:
            allowed = ', '.join(filter(None, argument.choices))
            raise ConfigError(f'argument {name} is one of {allowed}; got {given[name]!r}')
    return _GRAPHS[graph](given, environment)


def _policy_graph(given: Mapping[str, str], environment: Mapping[str, str]) -> list[NodeSpec]:
    policy = NodeSpec(
        executable='policy_node',
        name=POLICY,
        parameter_files=_files('policy.yaml', given),
        parameters=_parameters(given, *_OF_POLICY),
        remappings=(
            ('chunk_request', f'{EXECUTOR}/chunk_request'),
            ('executor_status', f'{EXECUTOR}/status'),
        ),
        lifecycle=True,
    )
    executor = NodeSpec(
        executable='action_executor_node',
        name=EXECUTOR,
        parameter_files=_files('executor.yaml', given),
        parameters=_parameters(given, *_OF_EXECUTOR),
        remappings=(
            ('action_chunk', f'{POLICY}/action_chunk'),
            ('heartbeat', f'{POLICY}/heartbeat'),
        ),
        lifecycle=True,
    )
    return _placed([policy, executor], given, _profile(given['fastdds_profile'], environment))


def _quantize_graph(given: Mapping[str, str], _environment: Mapping[str, str]) -> list[NodeSpec]:
    quantize = NodeSpec(
        executable='quantize_node',
        name=QUANTIZE,
        parameter_files=_files('quantize.yaml', given),
        parameters=_parameters(
            given, 'robot', 'checkpoint', 'output', 'calibration', 'model', 'preset', 'method'
        ),
        ends_graph=True,
    )
    return _placed([quantize], given, {})


def _replay_graph(given: Mapping[str, str], environment: Mapping[str, str]) -> list[NodeSpec]:
    """Play a recording to the policy graph; motion is computed, and never sent."""
    live = _policy_graph({**given, 'dry_run': 'true', 'use_sim_time': 'true'}, environment)
    live = [
        replace(spec, parameters={**spec.parameters, 'enable_on_start': True})
        if spec.name == EXECUTOR
        else spec
        for spec in live
    ]
    rate = _number('rate', given, float)
    player = NodeSpec(
        executable='bag_player',
        name=PLAYER,
        parameters={'bag': given['bag'], 'rate': rate, 'publish_clock': True, **_topics(given)},
        ends_graph=True,
    )
    return [*live, *_placed([player], given, dict(live[0].env))]


def _simulation_graph(given: Mapping[str, str], environment: Mapping[str, str]) -> list[NodeSpec]:
    """Put a simulated robot in the place of the real one."""
    robot = given['robot'] or SIM_ROBOT
    live = _policy_graph({**given, 'robot': robot, 'use_sim_time': 'true'}, environment)
    seed = {'seed': _number('seed', given, int)} if given['seed'] else {}
    sim = NodeSpec(
        executable='sim_node',
        name=SIM,
        parameters={
            **_parameters({**given, 'robot': robot}, 'robot', 'task', 'instruction'),
            'rate': _number('rate', given, float),
            **seed,
        },
    )
    return [*_placed([sim], given, dict(live[0].env)), *live]


def _number(name: str, given: Mapping[str, str], kind: type[Any]) -> Any:
    try:
        return kind(given[name])
    except ValueError as error:
        raise ConfigError(f'argument {name} is a number, got {given[name]!r}') from error


def _topics(given: Mapping[str, str]) -> dict[str, list[str]]:
    """Return what the player plays: the inputs of the robot, if the arguments name one."""
    if not given['robot']:
        return {}
    return {'topics': list(find_robot(given['robot'], robots_folder()).input_topics)}


def _files(name: str, given: Mapping[str, str]) -> tuple[str, ...]:
    ours = str(share_folder() / 'config' / name)
    if not given['config']:
        return (ours,)
    if not Path(given['config']).is_file():
        raise ConfigError(f'argument config: there is no file {given["config"]}')
    return (ours, given['config'])


def _parameters(given: Mapping[str, str], *names: str) -> dict[str, Any]:
    booleans = ('dry_run', 'publish_seen', 'use_sim_time')
    return {
        name: given[name] == 'true' if name in booleans else given[name]
        for name in names
        if given.get(name)
    }


def _placed(
    specs: list[NodeSpec], given: Mapping[str, str], env: Mapping[str, str]
) -> list[NodeSpec]:
    return [
        replace(spec, namespace=given['namespace'], log_level=given['log_level'], env=env)
        for spec in specs
    ]


def _profile(choice: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variable that names the transport profile; it was renamed in Kilted."""
    old = environment.get('ROS_DISTRO', '') in _OLD_NAME_OF_PROFILE
    variable = f'{"FASTRTPS" if old else "FASTDDS"}_DEFAULT_PROFILES_FILE'
    if choice == 'off' or (choice == 'auto' and variable in environment):
        return {}
    path = share_folder() / 'config' / 'fastdds_large_images.xml' if choice == 'auto' else choice
    if not Path(path).is_file():
        raise ConfigError(f'argument fastdds_profile: there is no file {path}')
    return {variable: str(path)}


_GRAPHS: dict[str, Callable[[Mapping[str, str], Mapping[str, str]], list[NodeSpec]]] = {
    'policy': _policy_graph,
    'quantize': _quantize_graph,
    'replay': _replay_graph,
    'simulation': _simulation_graph,
}
