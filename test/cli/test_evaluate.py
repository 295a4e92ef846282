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

"""The console script hbvla_eval."""

import json
import shutil
import signal
import sys

from builders import ROBOTS
from closed_loop_parts import environments, SEED
from hbvla_ros.cli import evaluate as cli
from hbvla_ros.models.tiny import write_tiny_checkpoint
from html_page import read_page
import pytest

pytestmark = pytest.mark.sim


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Return the folder of a tiny random policy of the simulated robot."""
    for env in environments('aloha_pick', 1):
        env.close()
    return write_tiny_checkpoint(tmp_path_factory.mktemp('tiny') / 'policy', preset='aloha_sim')


def _options(checkpoint, output, *more):
    return [
        '--checkpoint', str(checkpoint), '--output', str(output), '--robots', str(ROBOTS),
        '--episodes', '2', '--seed', str(SEED), '--workers', '1', '--lockstep', '2',
        '--calibration-episodes', '1', '--samples', '2', *more,
    ]  # fmt: skip


def test_it_writes_results_and_a_page_and_goes_on_where_it_was(checkpoint, tmp_path, capsys):
    options = _options(checkpoint, tmp_path / 'out', '--methods', 'fp,rtn')
    assert cli.main(options) == 0
    said = capsys.readouterr()
    found = json.loads((tmp_path / 'out' / 'results.json').read_text())
    assert [(row['label'], row['episodes']) for row in found['rows']] == [('fp', 2), ('rtn', 2)]
    assert found['about']['command'].startswith('hbvla_eval --checkpoint ')
    assert 'rtn' in said.out
    assert 'making rtn' in said.err
    read_page((tmp_path / 'out' / 'index.html').read_text())
    [artifact] = [p for p in (tmp_path / 'out' / 'variants').iterdir() if p.is_dir()]
    assert cli.main([*options, '--artifact', str(artifact)]) == 0
    again = capsys.readouterr()
    assert 'making' not in again.err
    assert '4/6' in again.err
    rows = json.loads((tmp_path / 'out' / 'results.json').read_text())['rows']
    assert rows[2]['label'] == artifact.name
    assert rows[2]['action_mae'] == rows[1]['action_mae']


def test_an_artifact_alone_needs_no_checkpoint(checkpoint, tmp_path):
    options = _options(checkpoint, tmp_path / 'one', '--methods', 'rtn', '--episodes', '1')
    assert cli.main(options) == 0
    [artifact] = [p for p in (tmp_path / 'one' / 'variants').iterdir() if p.is_dir()]
    alone = _options(checkpoint, tmp_path / 'two', '--episodes', '1')[2:]
    assert cli.main([*alone, '--artifact', str(artifact), '--backend', 'packed']) == 0
    [row] = json.loads((tmp_path / 'two' / 'results.json').read_text())['rows']
    assert (row['method'], row['episodes'], row['retention']) == ('rtn', 1, None)
    assert (row['action_mae'], row['backend']) == (None, 'packed')


def test_a_command_that_is_told_to_end_leaves_results_of_what_is_finished(
    checkpoint, tmp_path, capsys, monkeypatch
):
    def stop_after_one(steps):
        for step in steps:
            if step.done == 1:
                signal.raise_signal(signal.SIGTERM)

    options = _options(checkpoint, tmp_path / 'out', '--methods', 'fp')
    with monkeypatch.context() as patched:
        patched.setattr(cli, '_show', stop_after_one)
        assert cli.main(options) == 130
    assert 'goes on from here' in capsys.readouterr().err
    results = tmp_path / 'out' / 'results.json'
    assert [row['episodes'] for row in json.loads(results.read_text())['rows']] == [1]
    assert cli.main(options) == 0
    assert [row['episodes'] for row in json.loads(results.read_text())['rows']] == [2]


@pytest.mark.parametrize(
    ('more', 'message'),
    [
        (('--task', 'aloha_pour'), 'aloha_handover'),
        (('--methods', 'fp,hbvla_minus'), 'known: fp, billm'),
        (('--ablation', 'rtn'), 'unknown method settings'),
        (('--episodes', '0'), 'at least 1'),
        (('--checkpoint', '/nowhere'), '/nowhere'),
        (('--execute-steps', '99', '--methods', 'fp'), 'predicts 8 rows'),
        (('--artifact', '/nowhere', '--methods', ''), '/nowhere'),
    ],
)
def test_what_can_not_be_is_one_line_and_status_2(checkpoint, tmp_path, capsys, more, message):
    assert cli.main(_options(checkpoint, tmp_path / 'out', *more)) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith('hbvla_eval: ')
    assert message in error


def test_policies_of_another_robot_are_refused_with_both_names(
    checkpoint, tiny_run, tmp_path, capsys
):
    more = ('--checkpoint', str(tiny_run / 'checkpoint'), '--methods', 'fp')
    assert cli.main(_options(checkpoint, tmp_path / 'out', *more)) == 2
    error = capsys.readouterr().err
    assert "'aloha'" in error
    assert "'aloha_sim'" in error
    more = ('--artifact', str(tiny_run / 'artifact'), '--methods', '')
    assert cli.main(_options(checkpoint, tmp_path / 'out', *more)) == 2
    error = capsys.readouterr().err
    assert "'mobile_aloha'" in error
    assert "'aloha_sim'" in error


def test_without_the_simulator_it_says_what_to_install(checkpoint, tmp_path, capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, 'hbvla_ros.evaluate.sim.env', raising=False)
    monkeypatch.setitem(sys.modules, 'gymnasium', None)
    assert cli.main(_options(checkpoint, tmp_path / 'out')) == 2
    assert 'pip install -r requirements/sim.txt' in capsys.readouterr().err


def test_the_tables_are_made_of_the_methods_that_were_named(checkpoint, tmp_path):
    more = ('--methods', 'fp,rtn', '--components', '--ablation', '--delays')
    arguments = cli.build_parser().parse_args(
        _options(checkpoint, tmp_path, *more, '--task', 'aloha_pick,aloha_stack')
    )
    tables = cli.wanted_of(arguments).tables
    assert {name: len(trials) for name, trials in tables.items()} == {
        'methods': 4,
        'components': 2 * 6,
        'ablation': 2 * 19,
        'delays': 4 * 9,
    }


def test_help_needs_no_simulator(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(['--help'])
    assert end.value.code == 0
    assert '--delays' in capsys.readouterr().out


def test_a_copied_checkpoint_is_the_same_policy(checkpoint, tmp_path):
    copy = tmp_path / 'copy'
    shutil.copytree(checkpoint, copy)
    stores = [
        cli.wanted_of(cli.build_parser().parse_args(_options(where, tmp_path))).bench.store
        for where in (checkpoint, copy)
    ]
    assert stores[0].source == stores[1].source


def test_without_policy_it_scores_the_one_that_is_shipped(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(cli, '_run', lambda arguments, _command: asked.append(arguments) or 0)
    assert cli.main(['--output', str(tmp_path)]) == 0
    assert asked[0].checkpoint.name == 'aloha_pick'
    assert (asked[0].checkpoint / 'config.json').is_file()
    assert cli.main(['--artifact', 'mine', '--output', str(tmp_path)]) == 0
    assert asked[1].checkpoint is None
