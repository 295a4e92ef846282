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

"""The benchmark of the published size, on a small network."""

from dataclasses import replace
import time

from benchmarks.charged import charged
from benchmarks.full_size_files import full_config, skeleton, write_artifact
from benchmarks.full_size_stages import observation, TOKENS
from benchmarks.growth import packed_language_model
from builders import ROBOTS
from hbvla_ros.artifact.store import load_artifact, save_artifact
from hbvla_ros.core.robot import find_robot
from hbvla_ros.core.scene import synthetic_observations
from hbvla_ros.models.linear import BinaryLinear
from hbvla_ros.models.prismatic.config import LanguageConfig
from hbvla_ros.models.tiny import ARCH, LANGUAGE
from hbvla_ros.models.vit import VitConfig
from hbvla_ros.policy.runner import load_policy
import numpy as np
import pytest
import torch


@pytest.fixture(scope='module')
def small(tmp_path_factory):
    """Return an artifact of the tiny test checkpoint's widths, but for one that has two planes."""
    config = replace(
        full_config(),
        image_size=ARCH['image_size'],
        dino=VitConfig(**ARCH['dino'], layer_scale=True),
        siglip=VitConfig(**ARCH['siglip']),
        language=LanguageConfig(**{**LANGUAGE, 'hidden_size': 512}),
    )
    folder = tmp_path_factory.mktemp('full') / 'artifact'
    write_artifact(folder, config)
    return folder


def test_a_streamed_artifact_is_what_saving_it_whole_would_write(small, tmp_path):
    artifact = load_artifact(small)
    assert {packed.layout.segments for packed in artifact.layers.values()} == {1, 2}
    save_artifact(artifact, tmp_path / 'again')
    for file in sorted(small.iterdir()):
        assert (tmp_path / 'again' / file.name).read_bytes() == file.read_bytes(), file.name


def test_a_streamed_artifact_runs_and_its_actions_are_finite(small):
    seen = synthetic_observations(find_robot('libero_panda', ROBOTS), 1, seed=0)[0]
    actions = load_policy(small).infer(seen).actions
    assert actions.shape == (8, 7)
    assert np.isfinite(actions).all()


def test_the_config_is_that_of_the_published_checkpoint():
    config = full_config()
    assert (config.language.num_hidden_layers, config.language.hidden_size) == (32, 4096)
    assert (config.dino.depth, config.siglip.depth, config.patches) == (24, 27, 256)


def test_a_module_pays_for_its_own_time_only():
    inner = torch.nn.Linear(2, 2)
    inner.forward = lambda x: time.sleep(0.02) or x
    model = torch.nn.ModuleDict({'language_model': torch.nn.Sequential(inner)})
    model.forward = lambda x: model['language_model'](x)
    began = time.perf_counter()
    with charged(model) as parts:
        model(torch.zeros(1, 2))
    whole = time.perf_counter() - began
    assert set(parts) == {'language: linears', 'rest'}
    assert parts['language: linears'] >= 0.02
    assert sum(parts.values()) <= whole  # nothing is counted twice


def test_the_question_of_the_benchmark_makes_the_sequence_of_the_published_length():
    model = skeleton(full_config(1))
    inputs = observation(model).instruction
    ids = len(model._prompt.ids(inputs)) + 1  # the end token
    assert ids + 2 * 256 + 1 + 8 * 7 == TOKENS == 605


def test_the_language_model_of_the_growth_benchmark_is_packed_and_finite():
    model = packed_language_model(layers=1, width=256)
    linears = [module for module in model.modules() if isinstance(module, BinaryLinear)]
    assert len(linears) == 7
    out = model(torch.randn(1, 3, 256, generator=torch.Generator().manual_seed(0)).bfloat16())
    assert out.shape == (1, 3, 256)
    assert torch.isfinite(out).all()
