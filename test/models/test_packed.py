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

"""Models with packed weights."""

from dataclasses import replace

from builders import robot
from hbvla_ros.artifact.store import load_artifact
from hbvla_ros.core.errors import ArtifactError, ConfigError
from hbvla_ros.core.scene import synthetic_observations
from hbvla_ros.models.linear import BinaryLinear
from hbvla_ros.models.packed import build_packed, compact, load_packed
from hbvla_ros.models.surgery import find_linear, insert_packed
import pytest
import torch
from torch import nn


@pytest.fixture(scope='module')
def observation():
    """Return one look at a synthetic scene."""
    return synthetic_observations(robot(), 1, seed=5)[0]


@torch.no_grad()
def test_packed_and_dense_weights_give_the_same_actions(tiny_artifact, observation):
    packed, dense = (load_packed(tiny_artifact, backend=b).model for b in ('packed', 'dequant'))
    actions = [model.float()(model.prepare(observation)) for model in (packed, dense)]
    # 1e-4: float32 sums in another order through ten blocks, actions of order 1
    torch.testing.assert_close(*actions, rtol=0, atol=1e-4)


@torch.no_grad()
def test_bfloat16_stays_near_float32(tiny_artifact, observation):
    model = load_packed(tiny_artifact).model
    wide = model.float()(model.prepare(observation))
    half = model.bfloat16()(model.prepare(observation))
    assert (wide - half).abs().max() < 0.1  # 8 bits of mantissa through ten blocks


def test_every_chosen_linear_is_packed_and_no_other(tiny_artifact):
    loaded = load_packed(tiny_artifact)
    packed = {n for n, m in loaded.model.named_modules() if isinstance(m, BinaryLinear)}
    dense = {n for n, m in loaded.model.named_modules() if type(m) is nn.Linear}
    assert packed == set(loaded.manifest.layers)
    assert dense == set(loaded.manifest.skipped)


def test_a_missing_weight_is_named(tiny_artifact):
    artifact = load_artifact(tiny_artifact)
    kept = dict(artifact.kept)
    kept.pop('projector.fc1.bias')
    with pytest.raises(ArtifactError, match=r'projector\.fc1\.bias'):
        build_packed(replace(artifact, kept=kept))


def test_an_unknown_backend_lists_the_known_ones(tiny_artifact):
    with pytest.raises(ConfigError, match='packed, dequant'):
        load_packed(tiny_artifact, backend='magic')


def test_a_layer_of_another_shape_is_refused_with_both_shapes(tiny_artifact):
    packed = next(iter(load_artifact(tiny_artifact).layers.values()))
    model = nn.Sequential(nn.Linear(3, 4))
    with pytest.raises(ArtifactError, match=r'0: packed weight is .* the model needs \(4, 3\)'):
        insert_packed(model, {'0': packed})


@pytest.mark.parametrize('name', ['missing', '1'])
def test_a_name_that_is_no_dense_linear_is_refused(name):
    with pytest.raises(ArtifactError):
        find_linear(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), name)


def test_tensors_are_halved_only_where_nothing_is_lost():
    assert compact(torch.tensor([1.5, -2.0])).dtype == torch.bfloat16
    assert compact(torch.tensor([1.0 + 2**-20])).dtype == torch.float32
    assert compact(torch.tensor([3])).dtype == torch.int64
