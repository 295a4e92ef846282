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

"""What lies between the products of a layer, in the native library, against transformers."""

from hbvla_ros.core.errors import ConfigError
from hbvla_ros.kernels import native, pointwise
from hbvla_ros.kernels.memory import keep_freed_memory
from hbvla_ros.kernels.pointwise import RmsNorm
from hypothesis import given, settings
from hypothesis import strategies as st
import pytest
import torch
from torch.nn import functional
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb, LlamaRMSNorm

pytestmark = pytest.mark.skipif(
    native.library() is None, reason='the native library is not built: no C++ compiler'
)
BOTH = pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
# One rounding of the result: sums in another order may tip it over.
TOLERANCE = {torch.float32: 1e-6, torch.bfloat16: 2**-7}


def _random(*shape, dtype, seed=0, scale=1.0):
    g = torch.Generator().manual_seed(seed)
    return (torch.randn(*shape, generator=g) * scale).to(dtype)


def _norm(weight, epsilon):
    norm = LlamaRMSNorm(len(weight), eps=epsilon)
    norm.weight = torch.nn.Parameter(weight, requires_grad=False)
    return norm


@BOTH
@given(
    st.integers(1, 40),
    st.integers(1, 300),
    st.floats(1e-3, 1e3),
    st.booleans(),
    st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_rms_norm_is_that_of_transformers(dtype, rows, width, scale, adds, seed):
    x = _random(rows, width, dtype=dtype, seed=seed, scale=scale)
    weight = _random(width, dtype=dtype, seed=seed + 1)
    add = _random(rows, width, dtype=dtype, seed=seed + 2, scale=scale) if adds else None
    whole = x if add is None else x + add
    given_ = x.clone()
    found = pointwise.rms_norm(given_, RmsNorm(weight, 1e-6, add))
    wanted = _norm(weight, 1e-6)(whole)
    torch.testing.assert_close(found, wanted, rtol=TOLERANCE[dtype], atol=1e-6)
    assert torch.equal(given_, whole)  # the sum stays, to the bit


def test_rms_norm_of_a_row_worked_by_hand():
    x, weight = torch.tensor([[3.0, 4.0]]), torch.tensor([1.0, 2.0])
    found = pointwise.rms_norm(x, RmsNorm(weight, 0.5))  # mean of squares 12.5, plus 0.5: 13
    torch.testing.assert_close(found, torch.tensor([[3.0, 8.0]]) / 13**0.5)


@BOTH
@given(st.integers(1, 20), st.integers(1, 300), st.floats(1e-3, 1e2), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_silu_times_up_is_that_of_torch(dtype, rows, width, scale, seed):
    gate = _random(rows, width, dtype=dtype, seed=seed, scale=scale)
    up = _random(rows, width, dtype=dtype, seed=seed + 1)
    wanted = functional.silu(gate) * up
    found = pointwise.silu_times_(gate, up)
    assert found is gate
    torch.testing.assert_close(found, wanted, rtol=TOLERANCE[dtype], atol=1e-30)


@BOTH
@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 5), st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_rotation_is_that_of_transformers(dtype, batch, tokens, heads, half):
    x = _random(batch, tokens, heads, 2 * half, dtype=dtype)
    angles = _random(batch, tokens, 2 * half, dtype=torch.float32, seed=1, scale=3.0)
    places = angles.cos().to(dtype), angles.sin().to(dtype)
    wanted, _ = apply_rotary_pos_emb(x, x, *places, unsqueeze_dim=2)
    found = pointwise.rotate_(x, *places)
    assert found is x
    if dtype == torch.bfloat16:
        assert torch.equal(found, wanted)
    else:
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)


@BOTH
def test_the_number_of_threads_changes_no_bit(dtype):
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            x, up = (_random(67, 130, dtype=dtype, seed=seed) for seed in (3, 4))
            norm = RmsNorm(x[0].clone(), 1e-5, up)
            found.append(pointwise.silu_times_(pointwise.rms_norm(x, norm), up))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_what_is_not_finite_stays_in_its_row(value):
    x = _random(3, 70, dtype=torch.bfloat16)
    x[1, 5] = value
    found = pointwise.rms_norm(x, RmsNorm(torch.ones(70, dtype=torch.bfloat16), 1e-6))
    assert not found[1].isfinite().all()
    assert found[[0, 2]].isfinite().all()


def _normed(weight, add=None):
    return pointwise.rms_norm(torch.ones(2, 8), RmsNorm(weight, 1e-6, add))


def test_an_empty_tensor_is_no_error():
    assert pointwise.rms_norm(torch.empty(0, 8), RmsNorm(torch.ones(8), 1e-6)).shape == (0, 8)


@pytest.mark.parametrize(
    'call',
    [
        lambda: _normed(torch.ones(7)),
        lambda: _normed(torch.ones(8), torch.ones(1, 8)),
        lambda: _normed(torch.ones(8).bfloat16()),
        lambda: pointwise.silu_times_(torch.ones(8, 2).T, torch.ones(2, 8)),
        lambda: pointwise.silu_times_(torch.ones(2, 8).double(), torch.ones(2, 8).double()),
        lambda: pointwise.rotate_(torch.ones(2, 3, 8), torch.ones(2, 4), torch.ones(2, 4)),
        lambda: pointwise.rotate_(torch.ones(2, 3, 7), torch.ones(2, 7), torch.ones(2, 7)),
    ],
    ids=['width', 'add', 'dtype', 'layout', 'double', 'angles', 'odd width'],
)
def test_misuse_is_an_error_in_words(call):
    with pytest.raises(ConfigError, match=r'expected|impossible'):
        call()


def test_plain_torch_can_be_forced(monkeypatch):
    x = torch.ones(2, 8)
    assert pointwise.supports(x)
    monkeypatch.setenv('HBVLA_KERNEL', 'reference')
    assert not pointwise.supports(x)


def test_tensors_that_need_gradients_are_left_to_torch():
    assert not pointwise.supports(torch.ones(2, requires_grad=True))


def test_freed_memory_can_be_kept():
    assert keep_freed_memory()
    assert keep_freed_memory()  # again
