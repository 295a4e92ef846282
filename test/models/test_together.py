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

"""Linears that read the same input: it is normalized and prepared once."""

from dataclasses import replace

from hbvla_ros.binarize.layout import ColumnLayout
from hbvla_ros.binarize.weight import BinaryWeight
from hbvla_ros.core.errors import ConfigError
from hbvla_ros.kernels.cpu import CpuKernel
from hbvla_ros.kernels.dispatch import binary_linear
from hbvla_ros.kernels.packing import pack
from hbvla_ros.kernels.pointwise import rms_norm, RmsNorm, supports
from hbvla_ros.models.linear import BinaryLinear, sharing, together
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


def _family(permutation, **permissions):
    """Return q, k and v with the same columns, k with a bias."""
    packed = [_packed(24, seed, permutation) for seed in range(3)]
    packed = [replace(one, layout=packed[0].layout) for one in packed]
    packed[1] = replace(packed[1], **permissions)
    return [BinaryLinear(one, torch.ones(24) if i == 1 else None) for i, one in enumerate(packed)]


def _alone(layers, x):
    return [binary_linear(x, layer.packed, layer.bias) for layer in layers]


def _equal(found, wanted):
    return all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


@pytest.fixture
def prepared(monkeypatch):
    """Return the shapes of what was prepared, as it happens."""
    calls, prepare = [], CpuKernel.prepare

    def counted(self, x, *arguments):
        calls.append(tuple(x.shape))
        return prepare(self, x, *arguments)

    monkeypatch.setattr(CpuKernel, 'prepare', counted)
    return calls


ORDER = torch.randperm(200, generator=torch.Generator().manual_seed(9))
# hbvla orders its columns, hbvla_plus does not.
ordered = pytest.mark.parametrize('permutation', [ORDER, None], ids=['ordered', 'in place'])
both_types = pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
needs_library = pytest.mark.skipif(
    not supports(torch.ones(1)), reason='the native library is not built: no C++ compiler'
)


def _inputs(dtype=torch.float32, seed=0):
    return torch.randn(3, 20, 200, generator=torch.Generator().manual_seed(seed)).to(dtype)


@ordered
@both_types
def test_a_family_answers_as_each_alone_does_and_prepares_once(permutation, dtype, prepared):
    layers, x = _family(permutation), _inputs(dtype)
    wanted = _alone(layers, x)
    alone = len(prepared)
    prepared.clear()
    assert _equal(together(layers, x), wanted)
    assert len(prepared) == alone / 3  # 1; without the native library 0


@needs_library
@ordered
@both_types
@pytest.mark.parametrize('adds', [False, True])
def test_a_norm_goes_before_and_its_sum_is_made_once(permutation, dtype, adds, prepared):
    layers, x = _family(permutation), _inputs(dtype)
    add = _inputs(dtype, seed=1) if adds else None
    whole = x.clone() if add is None else x + add
    norm = RmsNorm(_inputs(dtype, seed=2)[0, 0].contiguous(), 1e-6, add)
    wanted = _alone(layers, rms_norm(x.clone(), norm))
    prepared.clear()
    assert _equal(sharing(layers, x, norm), wanted)
    assert torch.equal(x, whole)
    assert len(prepared) == 1


@needs_library
@pytest.mark.parametrize('odd', ['columns', 'kernel', 'dense'])
def test_those_that_can_not_share_answer_all_the_same(odd):
    layers, x = _family(ORDER, allows_int8=odd == 'kernel'), _inputs(torch.bfloat16)
    if odd == 'columns':
        layers[2] = BinaryLinear(_packed(24, 5, ORDER.flip(0)), None)
    if odd == 'dense':
        layers[2] = nn.Linear(200, 24, bias=False, dtype=torch.bfloat16)
    before = x.clone()
    norm = RmsNorm(torch.ones(200, dtype=torch.bfloat16), 1e-6, _inputs(torch.bfloat16, seed=1))
    assert sharing(layers, x, norm) is None
    assert torch.equal(x, before)  # nothing was added yet
    assert _equal(together(layers, x), [layer(x) for layer in layers])


@both_types
@ordered
def test_a_product_can_be_added_where_a_sum_lies(permutation, dtype):
    layer, x = _family(permutation)[1], _inputs(dtype)
    there = _inputs(dtype, seed=1)[..., :24].contiguous()
    wanted = there + layer(x)
    assert layer(x, add_to=there).data_ptr() == there.data_ptr()
    assert torch.equal(there, wanted)


def test_another_width_is_refused():
    with pytest.raises(ConfigError, match='reads 200 features, got 199'):
        together(_family(None), _inputs()[..., :199])
