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

"""``hbvla_quantize`` and ``hbvla_show``."""

import json

from builders import ROBOTS
from hbvla_ros.cli import quantize, show
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


def test_show_prints_bits_layers_and_what_was_kept(tiny_artifact, capsys):
    assert show.main([str(tiny_artifact)]) == 0
    text = capsys.readouterr().out
    assert 'stored bits' in text
    assert 'projector.fc1' in text
    assert 'kept: last projection' in text


def test_show_refuses_what_is_no_artifact(tmp_path, capsys):
    assert show.main([str(tmp_path)]) == 1
    assert 'no readable manifest.json' in capsys.readouterr().err
