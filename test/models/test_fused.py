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

"""Llama layers that run in the native library between their products."""

from hbvla_ros.models.fused import fuse, FusedAttention, FusedLayer, FusedMlp, FusedNorm
import pytest
import torch
from transformers import DynamicCache, LlamaConfig, LlamaModel


def _llama(dtype=torch.float32, *, causal=False, kv_heads=4, act='silu'):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=16, hidden_size=64, intermediate_size=112, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=kv_heads, hidden_act=act,
    )  # fmt: skip
    model = LlamaModel(config).to(dtype).eval()
    for layer in model.layers:
        layer.self_attn.is_causal = causal
    return model


def _tokens(dtype=torch.float32, batch=1):
    return torch.randn(batch, 13, 64, generator=torch.Generator().manual_seed(1)).to(dtype)


def _run(model, x, *, causal=False, **more):
    return model(inputs_embeds=x, use_cache=False, is_causal=causal, **more).last_hidden_state


# float32: sums in another order through two layers. bfloat16: some roundings tip over.
@pytest.mark.parametrize(('dtype', 'atol'), [(torch.float32, 1e-5), (torch.bfloat16, 0.1)])
@pytest.mark.parametrize('causal', [False, True])
@pytest.mark.parametrize(('batch', 'kv_heads'), [(1, 4), (2, 2)])
@torch.inference_mode()
def test_a_fused_model_answers_like_transformers(dtype, atol, causal, batch, kv_heads):
    model, x = _llama(dtype, causal=causal, kv_heads=kv_heads), _tokens(dtype, batch)
    wanted = _run(model, x, causal=causal)
    before = x.clone()
    fuse(model)
    torch.testing.assert_close(_run(model, x, causal=causal), wanted, rtol=0, atol=atol)
    assert torch.equal(x, before)  # the caller's input is not overwritten


@pytest.mark.parametrize('causal', [False, True])
@torch.inference_mode()
def test_without_the_library_torch_computes_what_it_computed_before(causal, monkeypatch):
    monkeypatch.setenv('HBVLA_KERNEL', 'reference')
    model, x = _llama(causal=causal, kv_heads=2), _tokens(batch=2)
    wanted = _run(model, x, causal=causal)
    fuse(model)
    assert torch.equal(_run(model, x, causal=causal), wanted)


@torch.inference_mode()
def test_the_library_is_used_and_gives_the_same_bits_each_time(monkeypatch):
    from hbvla_ros.kernels import native, pointwise

    if native.library() is None:
        pytest.skip('the native library is not built: no C++ compiler')
    calls = []
    for name in ('rms_norm', 'silu_times_', 'rotate_'):
        real = getattr(pointwise, name)
        monkeypatch.setattr(pointwise, name, lambda *a, f=real, n=name: calls.append(n) or f(*a))
    model = _llama()
    fuse(model)
    first = _run(model, _tokens())
    # Two norms and one more at the end, one MLP, queries and keys, of two layers.
    assert sorted(calls) == ['rms_norm'] * 5 + ['rotate_'] * 4 + ['silu_times_'] * 2
    assert torch.equal(first, _run(model, _tokens()))


@torch.inference_mode()
def test_a_cache_gives_what_the_whole_sequence_gives():
    model = _llama(causal=True)
    fuse(model)
    x, cache = _tokens(), DynamicCache()
    whole = _run(model, x, causal=True)
    parts = [
        model(inputs_embeds=token, past_key_values=cache, use_cache=True)
        for token in x.split(1, dim=1)
    ]
    found = torch.cat([part.last_hidden_state for part in parts], 1)
    torch.testing.assert_close(found, whole, rtol=0, atol=1e-5)  # sums in another order


def test_gradients_flow_as_before():
    model, x = _llama(), _tokens().requires_grad_()
    model.requires_grad_(requires_grad=False)
    _run(model, x).sum().backward()
    wanted, x.grad = x.grad, None
    fuse(model)
    _run(model, x).sum().backward()
    assert torch.equal(x.grad, wanted)


def test_names_and_weights_stay_and_another_activation_is_left_alone():
    model = _llama(act='gelu')
    names = list(model.state_dict())
    fuse(model)
    kinds = [type(module) for module in model.modules()]
    assert [kinds.count(kind) for kind in (FusedLayer, FusedAttention, FusedNorm, FusedMlp)] == [
        2, 2, 5, 0,
    ]  # fmt: skip
    assert list(model.state_dict()) == names
