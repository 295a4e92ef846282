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

"""The gate of int8 activations: measured at quantization, obeyed at run time."""

from types import SimpleNamespace

from hbvla_ros.artifact.manifest import INT8_LIMIT
from hbvla_ros.artifact.store import read_manifest
from hbvla_ros.binarize.layout import ColumnLayout
from hbvla_ros.binarize.weight import BinaryWeight
from hbvla_ros.core.errors import ConfigError
from hbvla_ros.kernels.packing import pack
from hbvla_ros.models.linear import BinaryLinear
from hbvla_ros.models.packed import load_packed
from hbvla_ros.quantize.int8_gate import int8_errors, relative_error
import pytest
import torch


def _packed():
    g = torch.Generator().manual_seed(0)
    layout = ColumnLayout(512)
    return pack(
        BinaryWeight(
            layout,
            torch.rand(64, 512, generator=g) < 0.5,
            torch.tensor([-127, 127], dtype=torch.int8).expand(64, 4, 2).contiguous(),
            torch.full((64, 1), 0.01),
        )
    )


def test_gaussian_activations_pass_and_outliers_do_not():
    x = torch.randn(100, 512, generator=torch.Generator().manual_seed(1))
    assert 0 < relative_error(x, _packed()) < INT8_LIMIT
    x[:, :8] *= 60  # the steps that these need are 0.4 of what the other channels carry
    assert relative_error(x, _packed()) > 2 * INT8_LIMIT


def test_zeros_cost_nothing():
    assert relative_error(torch.zeros(3, 512), _packed()) == 0


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_activations_that_are_not_finite_do_not_pass(value):
    x = torch.ones(3, 512)
    x[1, 7] = value
    assert relative_error(x, _packed()) == float('inf')


def test_a_layer_that_the_model_never_runs_is_not_measured_and_does_not_pass():
    model = torch.nn.ModuleDict(
        {'used': torch.nn.Linear(512, 64), 'idle': torch.nn.Linear(512, 64)}
    )
    model.forward = lambda inputs: model['used'](inputs)
    work = SimpleNamespace(model=model, inputs=[torch.full((2, 512), float('nan'))])
    errors = int8_errors(work, {'used': _packed(), 'idle': _packed()})
    assert errors == {'used': float('inf')}


def test_the_manifest_records_the_error_of_every_layer(tiny_artifact):
    entries = read_manifest(tiny_artifact).layers.values()
    assert all(entry.int8_error is not None and 0 <= entry.int8_error < 1 for entry in entries)


def test_int8_is_allowed_in_the_layers_that_passed_and_nowhere_by_default(tiny_artifact):
    entries = read_manifest(tiny_artifact).layers
    for activations, allowed in (
        ('exact', dict.fromkeys(entries, False)),
        ('int8', {name: entry.allows_int8 for name, entry in entries.items()}),
    ):
        model = load_packed(tiny_artifact, activations=activations).model
        found = {
            name: module.packed.allows_int8
            for name, module in model.named_modules()
            if isinstance(module, BinaryLinear)
        }
        assert found == allowed


def test_unknown_activations_are_refused_with_the_known_ones(tiny_artifact):
    with pytest.raises(ConfigError, match="'int4'; known: exact, int8"):
        load_packed(tiny_artifact, activations='int4')
