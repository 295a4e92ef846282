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

"""The console script hbvla_sensitivity."""

import json

from builders import ROBOTS
from hbvla_ros.cli.sensitivity import main
from html_page import all_numbers, read_page
import pytest


def _options(tiny_run, *more):
    return [
        str(tiny_run / 'checkpoint'), '--robots', str(ROBOTS), '--num-samples', '2',
        '--probe-draws', '1', '--components', 'projector', '--settings', 'sweeps=1', *more,
    ]  # fmt: skip


@pytest.fixture(scope='module')
def run(tiny_run, tmp_path_factory):
    """Run it once; return what it printed on both channels and the files it wrote."""
    folder = tmp_path_factory.mktemp('sensitivity')
    files = ('--json', str(folder / 's.json'), '--html', str(folder / 's.html'))
    options = _options(tiny_run, '--method', 'hbvla_plus', '--plane-budget', '2.2', *files)
    with pytest.MonkeyPatch.context() as patch:
        said = {'stdout': [], 'stderr': []}
        patch.setattr('builtins.print', lambda text, file=None: said[_channel(file)].append(text))
        assert main(options) == 0
    return said, json.loads((folder / 's.json').read_text()), (folder / 's.html').read_text()


def _channel(file):
    return 'stdout' if file is None else 'stderr'


def test_every_family_has_a_row_that_says_what_a_second_plane_gains(run):
    said, facts, _ = run
    rows = facts['rows']
    assert {row['family'] for row in rows} == {'projector.fc1', 'projector.fc2', 'projector.fc3'}
    table = '\n'.join(said['stdout'])
    for row in rows:
        assert row['error_two'] < row['error_one']
        gain = (row['error_one'] - row['error_two']) / (row['bits_two'] - row['bits_one'])
        assert row['gain_per_bit'] == pytest.approx(gain)
        assert f'{row["error_one"]:10.2e} {row["error_two"]:10.2e}' in table


def test_it_says_what_the_budget_would_choose(run):
    said, facts, _ = run
    chosen = [row for row in facts['rows'] if row['two_planes']]
    assert 0 < len(chosen) < 3
    assert f'{len(chosen)} of 3 families would get a second plane' in said['stdout'][-1]
    weights = sum(row['weights'] for row in facts['rows'])
    bits = sum(row['bits_two' if row['two_planes'] else 'bits_one'] for row in facts['rows'])
    assert bits <= 2.2 * weights


def test_progress_goes_to_the_other_channel_line_by_line(run):
    lines = run[0]['stderr']
    assert len(lines) == 1 + 2 + 3
    assert lines[0].startswith('0/5 load: 1 blocks, 2 samples')
    assert '2 of 3' in lines[4]
    assert 'left of this stage' in lines[4]


def test_the_page_shows_the_numbers_of_the_json_as_bars_too(run):
    _, facts, text = run
    page = read_page(text)
    assert set(page.numbers) <= set(all_numbers(facts))
    assert {row['gain_per_bit'] for row in facts['rows']} <= set(page.numbers)
    assert 'rect' in page.tags
    assert all(row['family'] in page.text for row in facts['rows'])


def test_a_budget_below_one_plane_is_said_and_no_failure(tiny_run, capsys):
    assert main(_options(tiny_run, '--plane-budget', '1.0')) == 0
    said = capsys.readouterr()
    assert 'one plane everywhere takes' in said.out
    assert 'second plane\n' not in said.out


@pytest.mark.parametrize(
    ('more', 'words'),
    [
        (('--method', 'rtn', '--settings'), 'choice of planes'),
        (('--robot', 'r2d2'), "no robot 'r2d2'"),
        (('--num-samples', '0'), 'num_samples must be in'),
    ],
)
def test_an_error_is_one_line_and_status_2(tiny_run, capsys, more, words):
    assert main(_options(tiny_run, *more)) == 2
    error = capsys.readouterr().err
    assert error.startswith('hbvla_sensitivity: ')
    assert words in error


def test_settings_that_have_no_meaning_here_are_no_options(tiny_run, capsys):
    with pytest.raises(SystemExit) as stop:
        main(_options(tiny_run, '--tune', 'block'))
    assert stop.value.code == 2
    assert '--tune' in capsys.readouterr().err
