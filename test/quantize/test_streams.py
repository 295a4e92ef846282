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

"""Two streams of activations through a model."""

from pathlib import Path

from builders import robot, ROBOTS, tiny_job
from hbvla_ros.artifact.store import read_manifest
from hbvla_ros.core.errors import ConfigError
from hbvla_ros.core.scene import synthetic_observations
from hbvla_ros.models.openvla_oft.checkpoint import load_checkpoint
from hbvla_ros.quantize.activations import Activations
from hbvla_ros.quantize.pipeline import run_job
from hbvla_ros.quantize.streams import Streams
import pytest
import torch


@pytest.fixture
def model(tiny_run):
    """Return the tiny network in float32."""
    return load_checkpoint(tiny_run / 'checkpoint', preset='aloha', dtype=torch.float32)


def _ones(model, block, inputs):
    """Return importances of the right number of tokens for each sample."""
    seen = []
    module = model.get_submodule(block.name)
    handle = module.register_forward_hook(
        lambda _m, _a, out: seen.append(out[0] if isinstance(out, tuple) else out)
    )
    for one in inputs:
        model(one)
    handle.remove()
    return [torch.ones(z.shape[:-1]) for z in seen]


@torch.no_grad()
def test_without_quantization_both_streams_are_the_same(model):
    inputs = [model.prepare(o) for o in synthetic_observations(robot(), 2, seed=0)]
    plan = model.blocks()
    streams = Streams(model, inputs, plan, Activations(0), two=True)
    for block in plan:
        streams.enter(block)
        stats = streams.collect(block, block.families, _ones(model, block, inputs))
        for moments in stats.values():
            assert moments.plain_shift().abs().max() == 0
        streams.leave(block)


@torch.no_grad()
def test_a_change_in_one_block_shows_in_the_next(model):
    inputs = [model.prepare(o) for o in synthetic_observations(robot(), 2, seed=0)]
    plan = [block for block in model.blocks() if block.chain == 'language']
    streams = Streams(model, inputs, plan, Activations(0), two=True)
    streams.enter(plan[0])
    model.get_submodule(plan[0].families[0][0]).weight.mul_(0.5)
    streams.leave(plan[0])
    streams.enter(plan[1])
    stats = streams.collect(plan[1], plan[1].families[:1], _ones(model, plan[1], inputs))
    assert all(moments.plain_shift().abs().max() > 0 for moments in stats.values())


def _errors(tiny_run, tmp_path, **changes):
    (tmp_path / 'checkpoint').symlink_to(tiny_run / 'checkpoint')
    result = {}
    for target in ('plain', 'corrected'):
        output = tmp_path / target
        job = tiny_job(tmp_path, output=str(output), target=target, num_samples=16, **changes)
        for _ in run_job(job, ROBOTS):
            pass
        manifest = read_manifest(output)
        assert manifest.job['target'] == target
        result[target] = manifest.calibration['action_error']
    return result


@pytest.mark.parametrize('method', ['hbvla', 'hbvla_plus', 'two_plane'])
def test_a_corrected_target_brings_the_actions_nearer_to_full_precision(
    tiny_run, tmp_path, method
):
    # On the calibration samples, where the families were fitted: 0.16 -> 0.04 for hbvla.
    errors = _errors(tiny_run, tmp_path, method=method)
    assert errors['corrected'] < 0.5 * errors['plain']


def test_the_method_chooses_unless_the_job_does(tiny_run, tmp_path):
    (tmp_path / 'checkpoint').symlink_to(tiny_run / 'checkpoint')
    for method, target in {'rtn': 'plain', 'hbvla_plus': 'corrected'}.items():
        output = Path(tmp_path / method)
        for _ in run_job(tiny_job(tmp_path, output=str(output), method=method), ROBOTS):
            pass
        assert read_manifest(output).job['target'] == target


def test_an_unknown_target_lists_the_known_ones(tmp_path):
    with pytest.raises(ConfigError, match='target must be one of auto, plain, corrected'):
        tiny_job(tmp_path, target='moving')
