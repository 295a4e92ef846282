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

"""Distillation: the last stage of tuning."""

from dataclasses import replace

from builders import robot, ROBOTS, tiny_job
from hbvla_ros.artifact.store import read_manifest
from hbvla_ros.binarize.method import make_config, METHODS
from hbvla_ros.core.scene import synthetic_observations
from hbvla_ros.models.openvla_oft.checkpoint import load_checkpoint
from hbvla_ros.quantize.blocks import quantize_blocks
from hbvla_ros.quantize.distillation import distill, teach
from hbvla_ros.quantize.pipeline import run_job
from hbvla_ros.quantize.preparation import prepare
from hbvla_ros.quantize.probing import probe_importance
from hbvla_ros.quantize.state import BlockJob, BlockOptions
from hbvla_ros.quantize.tuning import TuneSettings
import pytest
import torch


@pytest.fixture
def finished(tiny_run):
    """Return a job whose blocks are quantized, its plan, and what full precision did."""
    model = load_checkpoint(tiny_run / 'checkpoint', preset='aloha', dtype=torch.float32)
    method = METHODS['hbvla']
    inputs = [model.prepare(seen) for seen in synthetic_observations(robot(), 4, seed=0)]
    options = BlockOptions(tune='distill', tuning=TuneSettings(steps=2))
    config = make_config(method, {'num_salient': 0})
    parts = ('projector', 'language')
    job = BlockJob(model, inputs, method, config, parts, options=options)
    plan = job.plan()
    for _ in probe_importance(job, plan, 1, 0):
        pass
    lessons = teach(job, plan, inputs)
    for _ in quantize_blocks(job, plan):
        pass
    return job, plan, lessons


def _distill(job, plan, lessons, steps=12, **rates):
    tuning = TuneSettings(batch=4, **rates)
    job.options = replace(job.options, tuning=tuning)
    return list(distill(job, plan, lessons, steps, seed=0))


def test_actions_and_the_ends_of_all_chains_are_remembered_in_full_precision(finished):
    job, plan, lessons = finished
    assert list(lessons.ends) == ['projector', plan[-1].name]
    assert all(len(kept) == 4 for kept in lessons.ends.values())
    for inputs, told, probed in zip(lessons.inputs, lessons.actions, job.actions, strict=True):
        assert torch.equal(told, probed)
        assert not torch.equal(told, job.model(inputs))  # by now quantized


def test_it_brings_the_actions_nearer_to_full_precision_and_moves_no_sign(finished):
    job, plan, lessons = finished
    signs = {name: layer.weight.signs for name, layer in job.layers.items()}
    losses = _distill(job, plan, lessons)
    assert len(losses) == 12
    before, after = job.distilled
    assert after < before
    for name, layer in job.layers.items():
        assert torch.equal(layer.weight.signs, signs[name])
        dense = job.model.get_parameter(f'{name}.weight')
        assert torch.equal(dense, layer.weight.dequantize())  # what will be packed


def test_what_would_be_worse_is_not_kept(finished):
    job, plan, lessons = finished
    before = {name: tensor.clone() for name, tensor in job.model.named_parameters()}
    layers = dict(job.layers)
    _distill(job, plan, lessons, steps=1, level_rate=50.0, other_rate=50.0)
    assert job.distilled[0] == job.distilled[1]
    assert all(job.layers[name] is layers[name] for name in layers)
    for name, tensor in job.model.named_parameters():
        assert torch.equal(tensor, before[name])


def test_a_distilled_job_counts_its_steps_and_moves_the_actions_less(tiny_run, tmp_path):
    (tmp_path / 'checkpoint').symlink_to(tiny_run / 'checkpoint')
    errors = {}
    changes = {'method': 'hbvla', 'tune_steps': 1, 'distill_steps': 8}
    for tune in ('block', 'distill'):
        job = tiny_job(tmp_path, output=str(tmp_path / tune), tune=tune, **changes)
        steps = list(run_job(job, ROBOTS))
        assert sum(step.stage == 'distill' for step in steps) == (8 if tune == 'distill' else 0)
        errors[tune] = read_manifest(tmp_path / tune).calibration['action_error']
    assert errors['distill'] < errors['block']


def test_more_observations_than_those_of_calibration_may_be_imitated(tiny_run, tmp_path):
    (tmp_path / 'checkpoint').symlink_to(tiny_run / 'checkpoint')
    hashes, asked = set(), {'tune': 'distill', 'tune_steps': 1, 'distill_steps': 1}
    for number in (0, 9):
        job = tiny_job(tmp_path, method='hbvla', distill_samples=number, **asked)
        ready = prepare(job, ROBOTS)
        assert len(ready.lessons) == (number or len(ready.work.inputs))
        assert ready.provenance.num_samples == len(ready.work.inputs)
        hashes.add(ready.provenance.samples_hash)
    assert len(hashes) == 2
