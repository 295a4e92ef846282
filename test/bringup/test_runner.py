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

"""Real processes, started and stopped by the runner."""

import os
from pathlib import Path
import signal
import subprocess
import sys
import threading

from builders import REPOSITORY
from hbvla_ros.bringup.graph import NodeSpec
from hbvla_ros.bringup.process import BringupError
from hbvla_ros.bringup.runner import build_parser, GraphRunner, parse_values
from hbvla_ros.core.errors import ConfigError
import pytest

pytestmark = pytest.mark.ros


def fake(name='one', **changes):
    fields = {'executable': 'fake_node', 'name': name, 'lifecycle': True}
    return NodeSpec(**{**fields, **changes})


@pytest.fixture
def running(environment, domain, monkeypatch):
    """Return a function that makes a runner of the given nodes."""
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')

    def make(*specs, **options):
        return GraphRunner(specs, domain_id=domain, environment=environment, **options)

    return make


def gone(pid):
    return not os.path.exists(f'/proc/{pid}')


def test_two_nodes_are_activated_answer_and_end_with_0(running):
    lines = []
    left = fake('left', namespace='arm', remappings=(('out', 'elsewhere'),))
    right = fake('right')
    with running(left, right, on_line=lambda *line: lines.append(line)) as runner:
        runner.activate(timeout_s=20.0)
        runner.wait_until(
            lambda: runner.latest_status('left').get('message') == 'active', 5.0, 'the status'
        )
        ticks = []
        runner.listen('/arm/elsewhere', 'std_msgs/msg/String', ticks.append)
        runner.wait_until(lambda: len(ticks) >= 3, 5.0, 'three ticks')
        assert runner.call_set_bool('/right/enable', value=True) == 'you said True'
        with pytest.raises(BringupError, match='/right/enable refused: you said False'):
            runner.call_set_bool('/right/enable', value=False)
        pids = [process.pid for process in runner.processes.values()]
        results = runner.stop()
        assert runner.stop() == results
    assert [results[name].exit_code for name in ('left', 'right')] == [0, 0]
    assert all(20 < result.peak_rss_mib < 500 for result in results.values())  # Python and rclpy
    assert all(map(gone, pids))
    assert {('left', 'active'), ('right', 'active')} <= set(lines)


def test_parameters_arrive_with_their_types_and_win_over_the_files(running, tmp_path):
    values = {'text': 'pick: yes', 'number': '123', 'flag': True, 'rate': 2.0, 'names': ['a', '1']}
    path = tmp_path / 'file.yaml'
    path.write_text('/**: {ros__parameters: {flag: false, kept: 7}}')
    spec = fake(parameters=values, parameter_files=(str(path),))
    with running(spec) as runner:
        runner.wait_until(lambda: runner.latest_status('one'), 10.0, 'the status')
        parameters = runner.latest_status('one')['parameters']
    assert {name: parameters[name] for name in (*values, 'kept')} == {**values, 'kept': 7}


def test_a_node_that_dies_is_named_with_its_exit_code_and_last_words(running):
    with running(fake('sound'), fake('frail', parameters={'mood': 'fragile'})) as runner:
        with pytest.raises(BringupError, match='frail ended with exit code 3') as caught:
            runner.activate(timeout_s=20.0)
        assert 'I can not bear this' in str(caught.value)
        results = runner.stop()
    assert (results['frail'].exit_code, results['sound'].exit_code) == (3, 0)


def test_a_node_that_refuses_to_configure_gives_its_reason(running):
    moody, reason = fake('diva', parameters={'mood': 'moody'}), 'diva did not configure: not today'
    with running(moody) as runner, pytest.raises(BringupError, match=reason):
        runner.activate(timeout_s=20.0)


def test_a_node_that_does_not_stop_is_killed(running):
    lines = []
    mule = fake('mule', executable='mule')
    with running(mule, stop_timeout_s=0.2, on_line=lambda *line: lines.append(line)) as runner:
        runner.wait_until(lambda: lines == [('mule', 'I stay')], 10.0, 'the mule')
        results = runner.stop()
    assert results['mule'].exit_code == -signal.SIGKILL


def test_waiting_in_vain_says_for_what(running):
    with running(fake()) as runner:
        with pytest.raises(BringupError, match=r'waited 0.1 s for godot; the nodes said'):
            runner.wait_until(lambda: False, 0.1, 'godot')
        with pytest.raises(BringupError, match='for the service /no/such/service'):
            runner.call_set_bool('/no/such/service', value=True, timeout_s=0.1)


def test_a_program_that_cannot_start_is_named_and_the_others_are_stopped(running, environment):
    prefix = Path(environment['AMENT_PREFIX_PATH'].split(os.pathsep)[0])
    (prefix / 'lib' / 'hbvla_ros' / 'rock').write_text('no program')
    runner = running(fake('first'), fake('second', executable='rock'))
    with pytest.raises(BringupError, match=r'second: cannot start .*rock'):
        runner.__enter__()
    assert gone(runner.processes['first'].pid)


def test_an_error_of_the_caller_stops_the_nodes_too(running):
    pids = []

    def fail():
        with running(fake()) as runner:
            pids.append(runner.processes['one'].pid)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert gone(pids[0])


def test_a_node_that_is_not_installed_runs_as_a_module(running):
    player = NodeSpec(executable='bag_player', name='player')
    with running(player) as runner, pytest.raises(BringupError, match='exit code 1') as caught:
        runner.wait_until(lambda: False, 20.0, 'its end')
    assert 'parameter bag is empty' in str(caught.value)


class Command:
    """The command ``bringup`` as a process, and what it printed."""

    def __init__(self, environment, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'hbvla_ros.bringup.runner', *arguments],
            env=environment,
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._watchdog = threading.Timer(30.0, self.process.kill)
        self._watchdog.start()
        self.lines = []

    def read_until(self, text):
        while not any(text in line for line in self.lines):
            line = self.process.stdout.readline()
            assert line, f'no {text!r} in {self.lines}'
            self.lines.append(line.rstrip())

    def end(self):
        self.lines += self.process.stdout.read().splitlines()
        self._watchdog.cancel()
        return self.process.wait()


@pytest.fixture
def bringup(environment):
    commands = []

    def start(*arguments):
        commands.append(Command(environment, *arguments))
        return commands[-1]

    yield start
    for command in commands:
        command.process.kill()
        command.end()


@pytest.mark.parametrize('signals', [[signal.SIGINT] * 2, [signal.SIGTERM]])
def test_the_command_runs_until_it_is_interrupted(bringup, signals):
    command = bringup('policy', 'robot:=libero_panda')
    command.read_until('[hbvla_executor] active')
    for number in signals:
        command.process.send_signal(number)
    assert command.end() == 0
    summary = [line for line in command.lines if 'ended with exit code 0' in line]
    assert len(summary) == 2
    assert all('MiB at most' in line for line in summary)


def test_the_command_leaves_lifecycles_alone_without_autostart(bringup):
    command = bringup('policy', 'autostart:=false')
    for name in ('hbvla_policy', 'hbvla_executor'):
        command.read_until(f'[{name}] unconfigured')
    command.process.send_signal(signal.SIGINT)
    assert command.end() == 0
    assert not [line for line in command.lines if 'active' in line]


def test_the_command_fails_when_a_node_dies(bringup, tmp_path):
    config = tmp_path / 'config.yaml'
    config.write_text('/hbvla_policy: {ros__parameters: {mood: fragile}}')
    command = bringup('policy', f'config:={config}')
    assert command.end() == 1
    assert 'bringup: hbvla_policy ended with exit code 3; it said:' in command.lines


def test_the_command_ends_with_a_job_that_is_done(bringup, tmp_path):
    config = tmp_path / 'config.yaml'
    config.write_text('/**: {ros__parameters: {mood: brief}}')
    command = bringup('quantize', f'config:={config}')
    assert command.end() == 0
    assert '[hbvla_quantize] that was all' in command.lines


def test_the_command_refuses_arguments_that_make_no_sense(bringup):
    for word, said in (
        ('robot=x', 'written name:=value'),
        ('wheels:=4', "no arguments ['wheels']"),
    ):
        command = bringup('policy', word)
        assert command.end() == 2
        assert said in command.lines[-1]


def test_values_may_hold_the_separator_and_help_lists_every_argument():
    assert parse_values(['default_instruction:=a:=b', 'robot:=']) == {
        'default_instruction': 'a:=b',
        'robot': '',
    }
    with pytest.raises(ConfigError, match='written name:=value'):
        parse_values(['robot'])
    assert 'policy: model_path' in build_parser().format_help()
