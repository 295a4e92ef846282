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
Llama layers whose steps between the products run in the native library.

The classes are those of transformers with another ``forward``: parameters, names and hooks stay,
and what the library does not take (a GPU, a KV cache, no library) runs as before.
"""

from typing import Any

from hbvla_ros.kernels import pointwise
import torch
from torch import nn
from transformers import Cache
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import (
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
        whole = hidden_states.is_contiguous() and (add is None or add.is_contiguous())
        if (
            whole
            and self.weight.dtype == hidden_states.dtype
            and pointwise.supports(hidden_states)
        ):
            return pointwise.rms_norm(hidden_states, self.weight, self.variance_epsilon, add)
        summed = hidden_states if add is None else hidden_states.add_(add)
        normed: torch.Tensor = super().forward(summed)
        return normed


class FusedMlp(LlamaMLP):
    """The gated MLP; gate and up are multiplied in the memory of gate."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``[..., width]`` to the same shape."""
        gate, up = self.gate_proj(x), self.up_proj(x)
        fused = pointwise.supports(gate) and gate.is_contiguous() and up.is_contiguous()
        inner = pointwise.silu_times_(gate, up) if fused else self.act_fn(gate) * up
        result: torch.Tensor = self.down_proj(inner)
        return result


class FusedAttention(LlamaAttention):
    """Attention without a cache; queries and keys are rotated in place."""

    def forward(
        self,
        hidden_states: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
        attention_mask: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Attend; shapes and arguments are those of transformers."""
        if (
            past_key_values is not None
            or position_embeddings is None
            or not pointwise.supports(hidden_states)
        ):
            given = (hidden_states, position_embeddings, attention_mask, past_key_values)
            return super().forward(*given, **kwargs)
        shape = hidden_states.shape[:-1]
        heads = (*shape, -1, self.head_dim)
        query, key, value = (
            project(hidden_states).view(heads)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        places = tuple(p.expand(*shape, -1).contiguous() for p in position_embeddings)
        for rotated in (query, key):
            pointwise.rotate_(rotated, *places)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation,  # noqa: SLF001
            eager_attention_forward,
        )
        outputs, weights = attend(
            self, *(x.transpose(1, 2) for x in (query, key, value)), attention_mask,
            dropout=0.0, scaling=self.scaling, **kwargs,
        )  # fmt: skip
        return self.o_proj(outputs.reshape(*shape, -1).contiguous()), weights


class FusedLayer(LlamaDecoderLayer):
    """A decoder layer whose sums are written where a summand lies."""

    def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Map ``[batch, tokens, width]`` to that shape; arguments are those of transformers."""
        if not pointwise.supports(hidden_states):
            return super().forward(hidden_states, *args, **kwargs)
        attended, _ = self.self_attn(self.input_layernorm(hidden_states), *args, **kwargs)
        result: torch.Tensor = self.mlp(self.post_attention_layernorm(attended, hidden_states))
        return result.add_(attended)


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
