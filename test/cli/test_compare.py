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

"""The console script hbvla_compare."""

import json

from builders import ROBOTS
from hbvla_ros.cli.compare import main
from html_page import read_page


def _options(tiny_run, *more):
    return [
        str(tiny_run / 'artifact'), str(tiny_run / 'checkpoint'), '--robots', str(ROBOTS),
        '--num', '2', *more,
    ]  # fmt: skip


def test_it_prints_a_table_and_writes_json_and_a_page(tiny_run, tmp_path, capsys):
    files = ('--json', str(tmp_path / 'c.json'), '--html', str(tmp_path / 'c.html'))
    assert main(_options(tiny_run, *files)) == 0
    facts, text = json.loads((tmp_path / 'c.json').read_text()), capsys.readouterr().out
    assert facts['observations'] == 2
    assert f'mean {facts["mean_error"]:.5f}' in text
    assert 'the source of the first' in text
    assert 'jerk: not measured: needs a recording' in text
    for joint in facts['joints']:
        assert f'{joint["mean_error_physical"]:10.5f}' in text
    page = read_page((tmp_path / 'c.html').read_text())
    assert facts['mean_error'] in page.numbers


def test_observations_is_another_word_for_calibration(tiny_run, capsys):
    assert main(_options(tiny_run, '--observations', '/nowhere')) == 2
    assert '/nowhere' in capsys.readouterr().err


def test_an_error_is_one_line_and_status_2(tiny_run, tmp_path, capsys):
    assert main([str(tmp_path), str(tiny_run / 'artifact')]) == 2
    error = capsys.readouterr().err
    assert error.startswith('hbvla_compare: ')
    assert error.count('\n') == 1


def test_a_file_that_cannot_be_written_is_an_error_after_the_numbers_are_shown(
    tiny_run, tmp_path, capsys
):
    assert main(_options(tiny_run, '--json', str(tmp_path / 'no' / 'c.json'))) == 2
    said = capsys.readouterr()
    assert 'action error' in said.out
    assert 'c.json' in said.err
