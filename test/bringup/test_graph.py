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

"""Graphs as plain data."""

from dataclasses import fields
from pathlib import Path
import subprocess
import sys

from builders import REPOSITORY, robot
from hbvla_ros.bringup.graph import ARGUMENTS, build_graph, NodeSpec
from hbvla_ros.core.errors import ConfigError
from hbvla_ros.quantize.job import QuantizeJob
from hypothesis import given, settings
from hypothesis import strategies as st
import pytest
import yaml

GRAPHS = sorted(ARGUMENTS)
REPLAY = {'bag': 'somewhere'}


def build(graph, environment=None, **values):
    given_values = {**(REPLAY if graph == 'replay' else {}), **values}
    return {spec.name: spec for spec in build_graph(graph, given_values, environment or {})}


def parameters_of(name):
    """Return the names of the parameters that a node declares."""
    settings_module = pytest.importorskip('hbvla_ros.ros.settings')
    player = pytest.importorskip('hbvla_ros.ros.bag_player')
    simulator = pytest.importorskip('hbvla_ros.ros.sim_node')
    cls = {
        'hbvla_policy': settings_module.PolicyParameters,
        'hbvla_executor': settings_module.ExecutorParameters,
        'hbvla_quantize': QuantizeJob,
        'hbvla_bag_player': player.PlayerParameters,
        'hbvla_sim': simulator.SimParameters,
    }[name]
    return {entry.name for entry in fields(cls)} | {'use_sim_time'}


@pytest.mark.parametrize('graph', GRAPHS)
def test_parameter_files_exist_and_every_key_is_a_parameter_of_its_node(graph):
    for name, spec in build(graph).items():
        for file in spec.parameter_files:
            content = yaml.safe_load(Path(file).read_text())
            assert list(content) == ['/**']
            assert set(content['/**']['ros__parameters']) <= parameters_of(name)


@pytest.mark.parametrize('graph', GRAPHS)
def test_every_argument_is_described_and_its_default_allowed(graph):
    for argument in ARGUMENTS[graph]:
        assert argument.description
        assert not argument.choices or argument.default in argument.choices
    names = [argument.name for argument in ARGUMENTS[graph]]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ('graph', 'values'),
    [
        ('policy', {
            'robot': 'mobile_aloha', 'model_path': '/m', 'default_instruction': 'go',
            'image_transport': 'raw', 'command_adapter': 'joint_state', 'dry_run': 'true',
            'use_sim_time': 'true', 'chunk_mode': 'open_loop', 'pacing': 'synchronous',
            'device': 'cpu', 'publish_seen': 'true',
        }),
        ('quantize', {
            'robot': 'mobile_aloha', 'checkpoint': '/c', 'output': '/o', 'calibration': '/bag',
            'model': 'openvla_oft', 'preset': 'aloha', 'method': 'hbvla_plus',
        }),
        ('replay', {'robot': 'mobile_aloha', 'rate': '2'}),
        ('simulation', {'task': 'aloha_stack', 'instruction': 'go', 'seed': '7', 'rate': '0.5'}),
    ],
)  # fmt: skip
def test_every_parameter_that_an_argument_sets_is_declared_by_the_node(graph, values):
    specs = build(graph, **values)
    for name, spec in specs.items():
        assert set(spec.parameters) <= parameters_of(name)
    used = {name for spec in specs.values() for name in spec.parameters}
    assert set(values) <= used


def test_arguments_left_empty_leave_the_parameter_files_alone():
    for name, spec in build('policy').items():
        assert spec.parameters == {}, name


def test_an_argument_goes_to_the_nodes_that_know_it():
    specs = build('policy', robot='libero_panda', model_path='/m', dry_run='false')
    assert specs['hbvla_policy'].parameters == {'robot': 'libero_panda', 'model_path': '/m'}
    assert specs['hbvla_executor'].parameters == {'robot': 'libero_panda', 'dry_run': False}


def test_the_users_parameter_file_is_read_after_ours(tmp_path):
    mine = tmp_path / 'mine.yaml'
    mine.write_text('{}')
    for spec in build('policy', config=str(mine)).values():
        assert len(spec.parameter_files) == 2
        assert spec.parameter_files[-1] == str(mine)


@pytest.mark.parametrize(
    ('namespace', 'full_name'),
    [('', '/hbvla_policy'), ('left', '/left/hbvla_policy'), ('/a/b/', '/a/b/hbvla_policy')],
)
def test_a_namespace_moves_all_nodes(namespace, full_name):
    specs = build('replay', namespace=namespace)
    assert {spec.namespace for spec in specs.values()} == {namespace}
    assert specs['hbvla_policy'].full_name == full_name


def test_motion_is_enabled_by_bring_up_only_where_nothing_is_sent():
    assert 'enable_on_start' not in build('policy')['hbvla_executor'].parameters
    replayed = build('replay')['hbvla_executor'].parameters
    assert replayed['enable_on_start'] is replayed['dry_run'] is True
    with pytest.raises(ConfigError, match='no arguments'):
        build('replay', dry_run='false')


def test_a_simulated_robot_gives_the_time_and_motion_waits_to_be_enabled():
    specs = build('simulation', model_path='/m', seed='3')
    sim = specs.pop('hbvla_sim')
    assert sim.parameters == {
        'robot': 'aloha_sim', 'task': 'aloha_pick', 'rate': 1.0, 'seed': 3
    }  # fmt: skip
    assert not sim.lifecycle
    for spec in specs.values():
        assert spec.parameters['use_sim_time'] is True
        assert spec.parameters['robot'] == 'aloha_sim'
        assert 'enable_on_start' not in spec.parameters


@pytest.mark.parametrize('name', ['rate', 'seed'])
def test_an_argument_that_is_no_number_is_refused(name):
    with pytest.raises(ConfigError, match=f"argument {name} is a number, got 'quick'"):
        build('simulation', **{name: 'quick'})


def test_a_replay_lives_in_the_time_of_the_recording():
    specs = build('replay', robot='libero_panda', rate='2.5')
    player = specs.pop('hbvla_bag_player')
    assert player.parameters == {
        'bag': 'somewhere',
        'rate': 2.5,
        'publish_clock': True,
        'topics': list(robot('libero_panda').input_topics),
    }
    assert player.ends_graph
    assert [spec.parameters['use_sim_time'] for spec in specs.values()] == [True, True]


@pytest.mark.parametrize(
    ('environment', 'variable'),
    [
        ({}, 'FASTDDS_DEFAULT_PROFILES_FILE'),
        ({'ROS_DISTRO': 'kilted'}, 'FASTDDS_DEFAULT_PROFILES_FILE'),
        ({'ROS_DISTRO': 'rolling'}, 'FASTDDS_DEFAULT_PROFILES_FILE'),
        ({'ROS_DISTRO': 'jazzy'}, 'FASTRTPS_DEFAULT_PROFILES_FILE'),
        ({'ROS_DISTRO': 'humble'}, 'FASTRTPS_DEFAULT_PROFILES_FILE'),
    ],
)
def test_the_transport_profile_goes_by_the_variable_that_the_distribution_reads(
    environment, variable
):
    for spec in build('replay', environment).values():
        (entry,) = spec.env.items()
        assert entry[0] == variable
        assert Path(entry[1]).name == 'fastdds_large_images.xml'
        assert Path(entry[1]).is_file()


def test_a_profile_of_the_environment_stays_unless_another_is_asked_for(tmp_path):
    environment = {'FASTDDS_DEFAULT_PROFILES_FILE': '/mine.xml'}
    other = tmp_path / 'other.xml'
    other.touch()
    assert build('policy', environment)['hbvla_policy'].env == {}
    assert build('policy', fastdds_profile='off')['hbvla_policy'].env == {}
    assert build('policy', environment, fastdds_profile=str(other))['hbvla_policy'].env == {
        'FASTDDS_DEFAULT_PROFILES_FILE': str(other)
    }


@pytest.mark.parametrize(
    ('graph', 'values', 'words'),
    [
        ('dance', {}, "unknown graph 'dance'; known: policy, quantize, replay"),
        ('policy', {'model': '/m'}, r"no arguments \['model'\]; known: \['autostart'"),
        ('policy', {'dry_run': 'yes'}, "dry_run is one of true, false; got 'yes'"),
        ('policy', {'chunk_mode': 'rtc'}, "open_loop, latency_aligned, .*; got 'rtc'"),
        ('policy', {'config': '/no.yaml'}, 'config: there is no file /no.yaml'),
        ('policy', {'fastdds_profile': '/no.xml'}, 'fastdds_profile: there is no file /no.xml'),
        ('replay', {'rate': 'fast'}, "rate is a number, got 'fast'"),
        ('replay', {'robot': 'r2d2'}, "no robot 'r2d2'"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_would(graph, values, words):
    with pytest.raises(ConfigError, match=words):
        build_graph(graph, values, {})


TEXT = st.text(st.characters(codec='ascii', categories=('L', 'N', 'P', 'Zs')), max_size=20)


@settings(deadline=None)
@given(instruction=TEXT, namespace=st.sampled_from(['', 'a', 'a/b']), start=st.booleans())
def test_whatever_the_values_nodes_stay_the_same(instruction, namespace, start):
    values = {'default_instruction': instruction, 'namespace': namespace}
    specs = build('policy', **values, autostart=str(start).lower())
    assert [spec.executable for spec in specs.values()] == ['policy_node', 'action_executor_node']
    assert specs['hbvla_policy'].parameters.get('default_instruction', '') == instruction


def test_a_node_spec_stands_alone():
    spec = NodeSpec(executable='bag_player', name='x')
    assert (spec.full_name, spec.parameter_files, dict(spec.env)) == ('/x', (), {})


def test_a_graph_is_built_without_ros_and_torch():
    code = (
        'import sys; from hbvla_ros.bringup.graph import build_graph; '
        "build_graph('policy', {}, {}); print({'rclpy', 'launch', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    assert done.stdout.strip() == 'set()'
