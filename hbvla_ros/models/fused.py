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

"""
Llama layers that read an input once, and whose steps between products run in the native library.

The classes are those of transformers with another ``forward``: parameters, names and hooks stay,
and what the library does not take (a GPU, or there is no library) torch computes.
"""

from collections.abc import Sequence
from typing import Any

from hbvla_ros.kernels import pointwise
from hbvla_ros.models.linear import BinaryLinear, sharing, together
import torch
from torch import nn
from transformers import Cache
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import (
    apply_rotary_pos_emb,
    eager_attention_forward,
    LlamaAttention,
    LlamaDecoderLayer,
    LlamaMLP,
    LlamaRMSNorm,
)


class FusedNorm(LlamaRMSNorm):
    """RMSNorm in one pass."""

    def forward(
        self, hidden_states: torch.Tensor, add: torch.Tensor | None = None
    ) -> torch.Tensor:
        """
        Normalize ``[..., width]``.

        :param add: added to ``hidden_states``, in its memory, before
        """
        norm = self.described(hidden_states, add)
        if norm is not None and pointwise.supports(hidden_states):
            return pointwise.rms_norm(hidden_states, norm)
        summed = hidden_states if add is None else hidden_states.add_(add)
        normed: torch.Tensor = super().forward(summed)
        return normed

    def described(
        self, hidden_states: torch.Tensor, add: torch.Tensor | None = None
    ) -> pointwise.RmsNorm | None:
        """Return the norm for a kernel, or None if the tensors are not of one kind and whole."""
        whole = hidden_states.is_contiguous() and (add is None or add.is_contiguous())
        if not whole or self.weight.dtype != hidden_states.dtype or _needs_gradient(hidden_states):
            return None
        return pointwise.RmsNorm(self.weight, self.variance_epsilon, add)

    def read_by(
        self,
        layers: Sequence[nn.Module],
        hidden_states: torch.Tensor,
        add: torch.Tensor | None = None,
    ) -> list[torch.Tensor]:
        """Normalize for linears, arguments as in ``forward``; return what each of them gives."""
        norm = self.described(hidden_states, add)
        found = None if norm is None else sharing(layers, hidden_states, norm)
        return together(layers, self(hidden_states, add)) if found is None else found


class FusedMlp(LlamaMLP):
    """The gated MLP; gate and up are multiplied in the memory of gate."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``[..., width]`` to the same shape."""
        inner = self._inner(*together((self.gate_proj, self.up_proj), x))
        result: torch.Tensor = self.down_proj(inner)
        return result

    def add_to_sum(
        self, hidden_states: torch.Tensor, add: torch.Tensor, norm: FusedNorm
    ) -> torch.Tensor:
        """Add ``add``, then the MLP of the norm of the sum, to ``hidden_states`` in its memory."""
        layers = (self.gate_proj, self.up_proj)
        inner = self._inner(*norm.read_by(layers, hidden_states, add))
        if isinstance(self.down_proj, BinaryLinear):
            result: torch.Tensor = self.down_proj(inner, add_to=hidden_states)
            return result
        return hidden_states.add_(self.down_proj(inner))

    def _inner(self, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        fused = pointwise.supports(gate) and gate.is_contiguous() and up.is_contiguous()
        return pointwise.silu_times_(gate, up) if fused else self.act_fn(gate) * up


class FusedAttention(LlamaAttention):
    """Attention whose queries and keys are rotated in place where the library can."""

    def forward(
        self,
        hidden_states: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
        attention_mask: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        *,
        norm: FusedNorm | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Attend; shapes and arguments are those of transformers.

        :param norm: to apply to ``hidden_states`` before; none if they are normalized
        """
        assert position_embeddings is not None  # optional for transformers' type checker alone
        shape = hidden_states.shape[:-1]
        heads = (*shape, -1, self.head_dim)
        layers = (self.q_proj, self.k_proj, self.v_proj)
        read = together if norm is None else norm.read_by
        query, key, value = (product.view(heads) for product in read(layers, hidden_states))
        query, key = _rotated(query, key, position_embeddings)
        query, key, value = (states.transpose(1, 2) for states in (query, key, value))
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_idx)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation,  # noqa: SLF001
            eager_attention_forward,
        )
        outputs, weights = attend(
            self, query, key, value, attention_mask, dropout=0.0, scaling=self.scaling, **kwargs
        )
        return self.o_proj(outputs.reshape(*shape, -1).contiguous()), weights


class FusedLayer(LlamaDecoderLayer):
    """A decoder layer whose sums are written where a summand lies."""

    input_layernorm: FusedNorm
    post_attention_layernorm: FusedNorm

    def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Map ``[batch, tokens, width]`` to that shape; arguments are those of transformers."""
        if _needs_gradient(hidden_states):
            return super().forward(hidden_states, *args, **kwargs)
        middle = self.post_attention_layernorm
        attended, _ = self.self_attn(hidden_states, *args, norm=self.input_layernorm, **kwargs)
        if isinstance(self.mlp, FusedMlp):
            return self.mlp.add_to_sum(attended, hidden_states, middle)
        result: torch.Tensor = self.mlp(middle(attended, hidden_states))
        return result.add_(attended)


def _needs_gradient(x: torch.Tensor) -> bool:
    return x.requires_grad and torch.is_grad_enabled()


def _rotated(
    query: torch.Tensor, key: torch.Tensor, places: tuple[torch.Tensor, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotate ``[batch, tokens, heads, width]``, in place if the library takes them."""
    if not (pointwise.supports(query) and query.is_contiguous() and key.is_contiguous()):
        rotated: tuple[torch.Tensor, torch.Tensor] = apply_rotary_pos_emb(
            query, key, *places, unsqueeze_dim=2
        )
        return rotated
    whole = tuple(p.expand(*query.shape[:2], -1).contiguous() for p in places)
    return pointwise.rotate_(query, *whole), pointwise.rotate_(key, *whole)


_FUSED: dict[type[nn.Module], type[nn.Module]] = {
    LlamaRMSNorm: FusedNorm,
    LlamaMLP: FusedMlp,
    LlamaAttention: FusedAttention,
    LlamaDecoderLayer: FusedLayer,
}


def fuse(model: nn.Module) -> None:
    """
    Give the Llama layers of a model their fused forward passes, in place.

    Only for inference: fused layers overwrite what their linears return, as nobody else reads it.

    :param model: any; parts of other kinds, or with another activation than SiLU, stay as they are
    """
    for module in model.modules():
        gated = not isinstance(module, LlamaMLP) or module.config.hidden_act == 'silu'
        if type(module) in _FUSED and gated:
            module.__class__ = _FUSED[type(module)]
