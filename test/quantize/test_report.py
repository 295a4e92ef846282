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

"""The report card says what the artifact holds, all of it, and nothing else."""

import json
from pathlib import Path
import re
import shlex

from builders import ROBOTS, tiny_job
from hbvla_ros.artifact.store import load_artifact, read_manifest
from hbvla_ros.cli.options import read_settings
from hbvla_ros.cli.quantize import build_parser
from hbvla_ros.core.errors import ArtifactError
from hbvla_ros.quantize.pipeline import run_job
from hbvla_ros.quantize.report import manifest_facts, ONE, SALIENT, TWO
from html_page import all_numbers, read_page
import pytest

SETTINGS = {
    'method': 'hbvla_plus',
    'settings': ('sweeps=1',),
    'components': ('projector', 'language'),
    'protect': ('*.layers.1.mlp.*',),
    'tune': 'block',
    'tune_steps': 4,
    'planes': 'auto',
    'plane_budget': 2.3,
    'num_samples': 2,
}
QUICK = {'method': 'rtn', 'num_samples': 2}


def _folder(tiny_run: Path, folder: Path) -> Path:
    (folder / 'checkpoint').symlink_to(tiny_run / 'checkpoint')
    return folder


@pytest.fixture
def folder(tiny_run: Path, tmp_path: Path) -> Path:
    """Return a folder whose ``checkpoint`` is the shared tiny one."""
    return _folder(tiny_run, tmp_path)


@pytest.fixture(scope='module')
def rich(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an artifact with two planes here and there, tuned, and its report beside it."""
    folder = _folder(tiny_run, tmp_path_factory.mktemp('rich'))
    list(run_job(tiny_job(folder, **SETTINGS), ROBOTS))
    return folder / 'artifact'


def _facts(artifact: Path) -> dict:
    return json.loads(artifact.with_name('artifact.report.json').read_text(encoding='utf-8'))


def _page(artifact: Path):
    return read_page(artifact.with_name('artifact.report.html').read_text(encoding='utf-8'))


@pytest.fixture(params=['tiny_artifact', 'rich'])
def artifact(request):
    return request.getfixturevalue(request.param)


def test_the_facts_are_those_of_the_manifest(artifact):
    facts, manifest = _facts(artifact), read_manifest(artifact)
    own = json.loads(json.dumps(manifest_facts(manifest)))
    command = own.pop('command')
    assert facts | own == facts
    assert 'CHECKPOINT' in command
    assert {layer['name'] for layer in facts['layers']} == set(manifest.layers)
    assert facts['skipped'] == dict(manifest.skipped)


def test_components_add_up_to_the_total(artifact):
    facts = _facts(artifact)
    parts = facts['components'].values()
    assert sum(part['weights'] for part in parts) == facts['weights']
    assert sum(part['bytes'] for part in parts) == facts['bytes']['packed']
    assert sum(part['layers'] for part in parts) == len(facts['layers'])
    for kind in ('sign', 'stored'):
        mean = sum(part[f'bits_{kind}'] * part['weights'] for part in parts) / facts['weights']
        assert mean == pytest.approx(facts['bits'][kind], rel=1e-12)


def test_a_component_has_the_mean_and_the_largest_error_of_its_layers(artifact):
    facts = _facts(artifact)
    for name, part in facts['components'].items():
        errors = [x['policy_error'] for x in facts['layers'] if x['component'] == name]
        assert part['policy_error'] == pytest.approx(sum(errors) / len(errors))
        assert part['policy_error_max'] == max(errors)


def test_sizes_are_those_on_disk(artifact):
    sizes = _facts(artifact)['bytes']
    assert sizes['file'] == (artifact / 'model.safetensors').stat().st_size
    checkpoint = artifact.parent / 'checkpoint'
    files = read_manifest(artifact).source['files']
    assert sizes['source'] == sum((checkpoint / name).stat().st_size for name in files)
    kept = load_artifact(artifact).kept.values()
    assert sizes['kept'] == sum(tensor.numel() * tensor.element_size() for tensor in kept)


def test_layers_come_in_the_order_of_the_network():
    # the manifest sorts by letters: layers.10 would come before layers.2
    facts = manifest_facts(_manifest_with(['language.layers.10.q', 'language.layers.2.q', 'proj']))
    assert [layer['name'] for layer in facts['layers']] == [
        'proj', 'language.layers.2.q', 'language.layers.10.q',
    ]  # fmt: skip


def test_layers_say_how_many_planes_they_have():
    facts = manifest_facts(_manifest_with(['a', 'b', 'c'], salient=(0, 16, 128)))
    assert {layer['name']: layer['planes'] for layer in facts['layers']} == {
        'a': ONE, 'b': SALIENT, 'c': TWO,
    }  # fmt: skip
    assert facts['components']['language']['planes'] == {ONE: 1, SALIENT: 1, TWO: 1}


def _manifest_with(names, salient=(0, 0, 0)):
    from hbvla_ros.artifact.manifest import LayerEntry, Manifest

    layers = {
        name: LayerEntry(
            shape=(4, 128), component='projector' if name == 'proj' else 'language', family=name,
            num_salient=count, transform='none', salient_transform='none', has_permutation=False,
            bits_sign=1.0, bits_stored=2.0, output_error=0.1, policy_error=0.1, seconds=0.0,
        )
        for name, count in zip(names, salient, strict=True)
    }  # fmt: skip
    totals = {
        'bits_sign': 1.0, 'bits_stored': 2.0, 'quantized_weights': 1536, 'kept_parameters': 0,
        'packed_bytes': 384, 'kept_bytes': 0,
    }  # fmt: skip
    return Manifest(
        package_version='1', model='m', architecture={}, facts={'preset': 'aloha'},
        source={'sha256': ''}, job={'method': 'rtn'}, calibration={'kind': 'synthetic'},
        totals=totals, layers=layers, skipped={},
    )  # fmt: skip


def test_what_an_older_artifact_lacks_is_not_made_up():
    facts = manifest_facts(_manifest_with(['a', 'b', 'c']))
    assert facts['command'] is None
    assert facts['bytes']['source'] is None


def test_the_command_repeats_the_job(rich):
    words = shlex.split(_facts(rich)['command'])
    job = read_settings(build_parser().parse_args(words[1:]))
    assert job == tiny_job(rich.parent, **SETTINGS)


def test_every_stage_has_its_time_and_they_add_up(rich):
    seconds = _facts(rich)['seconds']
    stages = ['load', 'probe', 'sensitivity', 'quantize', 'save', 'verify']
    assert list(seconds['stages']) == stages
    assert all(value > 0 for value in seconds['stages'].values())
    assert seconds['total'] == pytest.approx(sum(seconds['stages'].values()))


def test_tuned_blocks_are_listed_and_never_worse(rich):
    tuned = _facts(rich)['tuned']
    layers = [f'language_model.model.layers.{n}' for n in range(2)]
    assert [row['block'] for row in tuned] == ['projector', *layers]
    assert all(row['after'] <= row['before'] for row in tuned)
    assert any(row['after'] < row['before'] for row in tuned)


def test_sensitivity_is_sorted_and_says_who_got_a_second_plane(rich):
    facts = _facts(rich)
    rows = facts['sensitivity']
    gains = [row['gain_per_bit'] for row in rows]
    assert gains == sorted(gains, reverse=True)
    twice = {row['family'] for row in rows if row['two_planes']}
    assert twice == set(facts['job']['two_planes'])
    assert 0 < len(twice) < len(rows)


def test_heat_maps_show_vision_and_the_first_language_block_for_every_camera(tiny_artifact):
    maps = _facts(tiny_artifact)['heat_maps']
    blocks = ['vision_backbone.featurizer.blocks.1', 'vision_backbone.fused_featurizer.blocks.1']
    blocks.append('language_model.model.layers.0')
    cameras = ['cam_high', 'cam_left_wrist', 'cam_right_wrist']
    assert [(one['block'], one['camera']) for one in maps] == [
        (block, camera) for block in blocks for camera in cameras
    ]
    for one in maps:
        assert [len(row) for row in one['scores']] == [2, 2]
        assert min(map(min, one['scores'])) > 0
    shown = len(_page(tiny_artifact).pictures)
    assert shown == len(maps) + len(blocks) + len(cameras)  # scales, and the pictures as they are


def test_a_job_without_vision_shows_the_language_model_alone(rich):
    assert {one['block'] for one in _facts(rich)['heat_maps']} == {'language_model.model.layers.0'}


def test_every_number_of_the_page_is_in_the_json(artifact):
    known, page = set(all_numbers(_facts(artifact))), _page(artifact)
    assert len(page.numbers) > 100
    assert set(page.numbers) <= known


def test_the_page_shows_every_layer_error_bit_and_size(artifact):
    facts, page = _facts(artifact), _page(artifact)
    shown = set(page.numbers)
    for layer in facts['layers']:
        assert layer['name'] in page.text
        assert {layer['output_error'], layer['policy_error'], layer['bits_stored']} <= shown
    assert set(facts['bits'].values()) | set(facts['bytes'].values()) <= shown
    assert set(facts['seconds']['stages'].values()) <= shown
    assert {row['after'] for row in facts['tuned']} <= shown
    assert {row['gain_per_bit'] for row in facts['sensitivity']} <= shown
    for text in (*facts['skipped'], *facts['skipped'].values(), facts['command']):
        assert text in page.text
    assert facts['calibration']['sha256'] in page.text


def _plain(facts: dict) -> dict:
    """Return what must not depend on how often a job was interrupted, nor on where it writes."""
    layers = [{k: v for k, v in layer.items() if k != 'seconds'} for layer in facts['layers']]
    mine = {k: v for k, v in facts.items() if k not in ('seconds', 'resumed_blocks', 'command')}
    return {**mine, 'layers': layers}


def test_a_resumed_job_has_the_whole_report(rich, folder):
    job = run_job(tiny_job(folder, **SETTINGS), ROBOTS)
    while next(job).stage != 'quantize':
        pass
    job.close()
    spent = json.loads((folder / '.artifact.partial' / 'seconds.json').read_text())
    list(run_job(tiny_job(folder, **SETTINGS), ROBOTS))
    whole, resumed = _facts(rich), _facts(folder / 'artifact')
    assert resumed['resumed_blocks'] == 1
    assert whole['resumed_blocks'] == 0
    assert _plain(resumed) == _plain(whole)
    stages = resumed['seconds']['stages']
    assert all(stages[name] > seconds for name, seconds in spent.items())


def test_a_report_that_cannot_be_written_leaves_the_artifact(folder):
    (folder / 'artifact.report.html').mkdir()
    with pytest.raises(ArtifactError, match=r'is complete, but its report could not be written'):
        list(run_job(tiny_job(folder, **QUICK), ROBOTS))
    assert read_manifest(folder / 'artifact').job['method'] == 'rtn'
    assert not list(folder.glob('.artifact.report*'))


def test_an_earlier_report_is_replaced(folder):
    (folder / 'artifact.report.json').write_text('old')
    steps = list(run_job(tiny_job(folder, **QUICK), ROBOTS))
    assert _facts(folder / 'artifact')['job']['method'] == 'rtn'
    assert steps[-1].detail == str(folder / 'artifact.report.html')


def test_a_job_without_planes_or_tuning_has_no_such_sections(tiny_artifact):
    text = _page(tiny_artifact).text
    assert not re.search('Sensitivity|Tuning', text)
    assert 'Which patches move the action' in text
