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

"""The console script hbvla_show."""

import json
import shlex

from hbvla_ros.artifact.store import read_manifest
from hbvla_ros.cli import quantize, show
from hbvla_ros.cli.options import read_settings
import pytest


@pytest.fixture
def text(tiny_artifact, capsys):
    """Return what is printed about the shared artifact."""
    assert show.main([str(tiny_artifact)]) == 0
    return capsys.readouterr().out


def test_it_prints_bits_sizes_and_where_they_are(text, tiny_artifact):
    totals = read_manifest(tiny_artifact).totals
    assert f'{totals["bits_sign"]:.3f} sign bits, {totals["bits_stored"]:.3f} stored bits' in text
    size = (tiny_artifact / 'model.safetensors').stat().st_size
    assert f'{size:,} bytes: the weights file' in text
    assert f'{totals["packed_bytes"]:,} bytes: binarized weights' in text
    assert 'bytes: the source checkpoint' in text


def test_it_prints_the_errors_of_components_and_layers(text, tiny_artifact):
    layers = read_manifest(tiny_artifact).layers
    lines = text.splitlines()
    for name, layer in layers.items():
        (line,) = [one for one in lines if one.startswith(f'{name} ')]
        assert line.split()[-2:] == [f'{layer.output_error:.4f}', f'{layer.policy_error:.4f}']
    for component in ('vision', 'projector', 'language'):
        errors = [e.output_error for e in layers.values() if e.component == component]
        (line,) = [one for one in lines if one.startswith(f'{component} ')]
        assert line.split()[-4:-2] == [
            f'{sum(errors) / len(errors):.4f}', f'{max(errors):.4f}',
        ]  # fmt: skip


def test_it_prints_what_was_kept_and_the_calibration(text, tiny_artifact):
    manifest = read_manifest(tiny_artifact)
    for name, reason in manifest.skipped.items():
        assert f'{name:60} kept: {reason}' in text
    assert manifest.calibration['sha256'] in text
    assert f'{manifest.calibration["samples"]} samples (synthetic)' in text


def test_the_command_it_prints_makes_the_same_choices(text, tiny_artifact):
    (line,) = [one for one in text.splitlines() if one.startswith('made with: ')]
    words = shlex.split(line.removeprefix('made with: hbvla_quantize '))
    job = read_settings(quantize.build_parser().parse_args(words))
    assert (job.method, job.num_samples, job.probe_draws) == ('hbvla', 4, 1)
    assert job.checkpoint == 'CHECKPOINT'


def test_json_is_the_manifest(tiny_artifact, capsys):
    assert show.main([str(tiny_artifact), '--json']) == 0
    manifest = json.loads((tiny_artifact / 'manifest.json').read_text())
    assert json.loads(capsys.readouterr().out) == manifest


def test_what_is_no_artifact_is_refused(tmp_path, capsys):
    assert show.main([str(tmp_path)]) == 1
    assert 'no readable manifest.json' in capsys.readouterr().err
