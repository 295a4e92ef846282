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

"""The offline job, from checkpoint to artifact."""

from pathlib import Path
import re

from builders import robot, ROBOTS, tiny_job
from hbvla_ros.artifact.store import load_artifact, read_manifest, save_artifact
from hbvla_ros.core.errors import ArtifactError, CheckpointError, ConfigError
from hbvla_ros.core.scene import synthetic_observations
from hbvla_ros.models.openvla_oft.checkpoint import load_checkpoint
from hbvla_ros.models.packed import load_packed
from hbvla_ros.models.tiny import write_tiny_checkpoint
from hbvla_ros.quantize import delivery
from hbvla_ros.quantize.pipeline import run_job
import pytest
import torch


@pytest.fixture
def folder(tiny_run: Path, tmp_path: Path) -> Path:
    """Return a folder whose ``checkpoint`` is the shared tiny one."""
    (tmp_path / 'checkpoint').symlink_to(tiny_run / 'checkpoint')
    return tmp_path


def _run(folder, **changes):
    return list(run_job(tiny_job(folder, **changes), ROBOTS))


def test_progress_counts_up_to_its_total(folder):
    steps = _run(folder, method='rtn')
    assert [step.done for step in steps] == list(range(steps[-1].total + 1))
    assert (steps[0].stage, steps[-1].stage) == ('load', 'report')


def test_equal_seeds_give_equal_bytes_but_for_the_seconds(tiny_run, folder):
    _run(folder)
    one, two = tiny_run / 'artifact', folder / 'artifact'
    name = 'model.safetensors'
    assert (one / name).read_bytes() == (two / name).read_bytes()

    def text(path):
        plain = re.sub(r'"seconds": [\d.e-]+', '', (path / 'manifest.json').read_text())
        return re.sub(r'"checksum": "\w+"', '', plain)

    assert text(one) == text(two)


def test_hbvla_answers_closer_to_full_precision_than_rtn(folder):
    fp = load_checkpoint(folder / 'checkpoint', preset='aloha', dtype=torch.float32)
    errors = {}
    for method in ('hbvla', 'rtn'):
        output = str(folder / method)
        _run(folder, method=method, output=output, num_samples=16)
        model = load_packed(Path(output)).model.float()
        seen = synthetic_observations(robot(), 8, seed=123)  # not the calibration seed
        with torch.no_grad():
            errors[method] = sum(
                float((model(model.prepare(o)) - fp(fp.prepare(o))).abs().mean()) for o in seen
            )
    assert errors['hbvla'] < errors['rtn']


def test_layers_report_less_error_than_rtn_would(tiny_run, folder):
    _run(folder, method='rtn')
    ours, rtn = (read_manifest(f / 'artifact').layers for f in (tiny_run, folder))
    assert all(ours[name].output_error < 0.6 * rtn[name].output_error for name in ours)


def test_the_manifest_says_where_the_weights_come_from(tiny_run):
    manifest = read_manifest(tiny_run / 'artifact')
    assert set(manifest.source['files']) >= {'config.json', 'tokenizer.json'}
    assert manifest.job['method'] == 'hbvla'
    assert manifest.job['config']['transform'] == 'haar'
    assert re.fullmatch(r'[0-9a-f]{64}', manifest.calibration['sha256'])
    assert manifest.calibration['action_error'] > 0


def test_every_linear_is_quantized_or_listed_with_a_reason(tiny_run):
    manifest = read_manifest(tiny_run / 'artifact')
    model = load_packed(tiny_run / 'artifact', backend='dequant').model
    linears = {n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)}
    assert linears == set(manifest.layers) | set(manifest.skipped)
    assert all(manifest.skipped.values())


def test_protected_layers_stay_and_say_why(folder):
    _run(folder, method='rtn', protect=('*.layers.1.*',))
    skipped = read_manifest(folder / 'artifact').skipped
    assert skipped['language_model.model.layers.1.mlp.up_proj'] == (
        'protected by pattern *.layers.1.*'
    )


def test_weights_may_be_computed_in_bfloat16(folder):
    steps = _run(folder, method='rtn', weights_dtype='bfloat16')
    assert steps[-2].stage == 'verify'


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_one_wrong_sign_in_what_was_written_is_found(folder, monkeypatch, dtype):
    def damaged(contents, output):
        packed = contents.layers['language_model.model.layers.1.mlp.up_proj']
        packed.bits.view(-1)[0] ^= 1
        return save_artifact(contents, output)

    monkeypatch.setattr(delivery, 'save_artifact', damaged)
    with pytest.raises(
        ArtifactError, match=r'layers\.1\.mlp\.up_proj\.weight are not those in memory'
    ):
        _run(folder, method='rtn', weights_dtype=dtype)


def test_a_middle_block_may_be_left_out(folder):
    _run(folder, method='rtn', protect=('*featurizer.blocks.0.*',), components=('vision',))
    layers = read_manifest(folder / 'artifact').layers
    assert layers
    assert all('blocks.1' in name for name in layers)


def test_all_components_can_be_chosen(folder):
    parts = ('vision', 'projector', 'language', 'action_head')
    _run(folder, components=parts)
    manifest = read_manifest(folder / 'artifact')
    assert {entry.component for entry in manifest.layers.values()} == set(parts)


def test_settings_reach_the_method(folder):
    _run(folder, settings=('num_salient=16', 'transform=none', 'pairing=false'))
    manifest = read_manifest(folder / 'artifact')
    assert manifest.job['config']['pairing'] is False
    layer = manifest.layers['projector.fc2']
    assert (layer.num_salient, layer.transform) == (16, 'none')
    assert layer.bits_sign == pytest.approx((320 + 16) / 320)
    assert load_artifact(folder / 'artifact').layers['projector.fc2'].layout.segments == 2


def test_the_libero_form_runs_too(tmp_path):
    write_tiny_checkpoint(tmp_path / 'checkpoint', preset='libero')
    _run(tmp_path, preset='libero', robot='libero_panda', method='rtn')
    facts = read_manifest(tmp_path / 'artifact').facts
    assert (facts['chunk_size'], facts['action_dim'], facts['num_images']) == (8, 7, 2)


@pytest.mark.parametrize(
    ('changes', 'error', 'message'),
    [
        ({'method': 'hbvla2'}, ConfigError, "unknown method 'hbvla2'; did you mean 'hbvla'"),
        ({'preset': 'alohha'}, ConfigError, 'aloha'),
        ({'robot': 'r2d2'}, ConfigError, 'aloha_sim, libero_panda, mobile_aloha'),
        ({'unnorm_key': 'kitchen'}, ConfigError, 'keys there: aloha1_'),
        ({'components': ('brain',)}, ConfigError, 'unknown components'),
        ({'protect': ('*',)}, ConfigError, 'nothing is left to quantize'),
        ({'settings': ('speed=3',)}, ConfigError, 'unknown method settings'),
        ({'calibration': '/nowhere'}, ConfigError, 'not a readable rosbag2 recording'),
        ({'checkpoint': '/nowhere'}, CheckpointError, '/nowhere'),
        ({'preset': 'libero'}, CheckpointError, 'aloha'),
    ],
)
def test_a_bad_setting_is_refused_and_nothing_is_written(folder, changes, error, message):
    with pytest.raises(error, match=re.escape(message)):
        _run(folder, **changes)
    assert not (folder / 'artifact').exists()


def test_an_existing_output_is_never_overwritten(folder):
    (folder / 'artifact').mkdir()
    with pytest.raises(ArtifactError, match='exists'):
        _run(folder)
