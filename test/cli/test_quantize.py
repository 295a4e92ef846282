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

"""The console script hbvla_quantize."""

import json

from builders import ROBOTS
from hbvla_ros.cli import quantize
from hbvla_ros.cli.options import read_settings
import pytest


def _options(folder, *more):
    return [
        '--checkpoint', str(folder / 'checkpoint'), '--num-samples', '2', '--probe-draws', '1',
        '--robots', str(ROBOTS), *more,
    ]  # fmt: skip


def test_a_job_from_the_command_line_writes_an_artifact(tiny_run, tmp_path, capsys):
    output = tmp_path / 'out'
    options = _options(tiny_run, '--output', str(output), '--method', 'rtn')
    assert quantize.main([*options, '--components', 'language']) == 0
    assert f'wrote {output}' in capsys.readouterr().out
    manifest = json.loads((output / 'manifest.json').read_text())
    assert manifest['job']['components'] == ['language']


def test_an_error_is_one_line_and_a_status(tiny_run, capsys):
    options = _options(tiny_run, '--output', str(tiny_run / 'artifact'))
    assert quantize.main(options) == 1
    assert 'exists; choose another output folder' in capsys.readouterr().err


def test_help_names_every_setting(capsys):
    with pytest.raises(SystemExit):
        quantize.main(['--help'])
    text = capsys.readouterr().out
    assert '--unnorm-key' in text
    assert '--protect' in text


def test_a_switch_is_on_off_or_at_its_default():
    parser = quantize.build_parser()
    needed = ['--checkpoint', 'in', '--output', 'out']
    said = [read_settings(parser.parse_args([*needed, *more])).bgr for more in _SWITCHES]
    assert said == [False, True, False]


_SWITCHES = ([], ['--bgr'], ['--no-bgr'])


def test_a_log_gets_one_line_per_step_with_layers_error_and_time(tiny_run, tmp_path, capsys):
    options = _options(tiny_run, '--output', str(tmp_path / 'out'), '--method', 'rtn')
    assert quantize.main([*options, '--components', 'language', 'projector']) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 + 2 + 3 + 3  # load, samples, blocks, the end
    (block,) = [line for line in lines if 'quantize: language_model.model.layers.0' in line]
    assert '2 of 3; 10 of 17 layers; mean output error 0.' in block
    assert 'left of this stage' in block
    assert lines[-1].startswith('8/8 report: ')


def test_a_terminal_gets_a_bar(tiny_run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr('sys.stderr.isatty', lambda: True)
    options = _options(tiny_run, '--output', str(tmp_path / 'out'), '--method', 'rtn')
    assert quantize.main([*options, '--components', 'projector']) == 0
    bar = capsys.readouterr().err
    assert '100%|' in bar
    assert '3 of 3 layers; mean output error 0.' in bar


def test_an_interrupt_says_how_to_go_on(tiny_run, tmp_path, capsys, monkeypatch):
    def run_job(job, robots):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr('hbvla_ros.quantize.pipeline.run_job', run_job)
    assert quantize.main(_options(tiny_run, '--output', str(tmp_path / 'out'))) == 130
    assert 'the same command goes on from here' in capsys.readouterr().err
