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

"""Layers that share the preparation of their input."""

from dataclasses import replace

from hbvla_ros.binarize.layout import ColumnLayout
from hbvla_ros.binarize.weight import BinaryWeight
from hbvla_ros.kernels.cpu import CpuKernel
from hbvla_ros.kernels.dispatch import binary_linear
from hbvla_ros.kernels.packing import pack
from hbvla_ros.models.surgery import insert_packed
import pytest
import torch
from torch import nn


def _packed(out, seed, permutation):
    g = torch.Generator().manual_seed(seed)
    layout = ColumnLayout(200, 0, 'haar', 'none', permutation)
    return pack(
        BinaryWeight(
            layout,
            torch.rand(out, 256, generator=g) < 0.5,
            torch.randint(-127, 128, (out, 2, 2), generator=g).to(torch.int8),
            torch.rand(out, 1, generator=g) * 0.01,
        )
    )


@pytest.fixture
def family():
    """Return q, k and v of one parent with one permutation, and an o with its own."""
    order = torch.randperm(200, generator=torch.Generator().manual_seed(9))
    layers = {name: _packed(24, seed, order) for seed, name in enumerate('qkv')}
    layers = {name: replace(one, layout=layers['q'].layout) for name, one in layers.items()}
    layers['o'] = _packed(24, 5, order.flip(0))
    parent = nn.ModuleDict({name: nn.Linear(200, 24) for name in layers})
    insert_packed(parent, layers)
    return parent


def _count(monkeypatch):
    calls = []
    prepare = CpuKernel.prepare

    def counted(self, x, layout):
        calls.append(tuple(x.shape))
        return prepare(self, x, layout)

    monkeypatch.setattr(CpuKernel, 'prepare', counted)
    return calls


def _inputs(seed):
    return torch.randn(3, 20, 200, generator=torch.Generator().manual_seed(seed))


def test_siblings_answer_as_each_alone_does_whatever_came_before(family):
    for seed in (0, 1):
        x = _inputs(seed)
        for name in 'qkvo':
            layer = family[name]
            assert torch.equal(layer(x), binary_linear(x, layer.packed, layer.bias)), name


def test_one_preparation_serves_the_family_and_no_other(family, monkeypatch):
    x = _inputs(0)
    calls = _count(monkeypatch)
    alone = binary_linear(x, family['q'].packed)
    if not calls:
        pytest.skip('no native kernels on this computer: nothing is prepared')
    assert alone.shape == (3, 20, 24)
    calls.clear()
    for name in 'qkvo':
        family[name](x)
    assert len(calls) == 2
    family['q'](x)  # the family is through: a new round
    assert len(calls) == 3


def test_an_input_that_was_changed_in_place_is_prepared_anew(family):
    x = _inputs(0)
    family['q'](x)
    x.mul_(2)
    assert torch.equal(family['k'](x), binary_linear(x, family['k'].packed, family['k'].bias))


def test_another_input_is_prepared_anew_even_in_the_middle(family):
    x, other = _inputs(0), _inputs(1)
    family['q'](x)
    expected = binary_linear(other, family['k'].packed, family['k'].bias)
    assert torch.equal(family['k'](other), expected)
