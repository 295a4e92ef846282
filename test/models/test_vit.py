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

"""The vision transformer: equal to the public implementations, then its own traits."""

from hbvla_ros.core.errors import CheckpointError
from hbvla_ros.models.vit import Mlp, Vit, VitConfig
import pytest
import torch
from torch import nn
from transformers import (
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    SiglipVisionConfig,
    SiglipVisionModel,
)

DINO = VitConfig(dim=32, depth=4, heads=4, mlp=128, registers=4, layer_scale=True)
SIGLIP = VitConfig(dim=48, depth=4, heads=4, mlp=80)
IMAGE, PATCH = 28, 14


def random_vit(config: VitConfig) -> Vit:
    torch.manual_seed(0)
    vit = Vit(config, IMAGE, PATCH)
    with torch.no_grad():
        for parameter in vit.parameters():
            parameter.normal_(std=0.2)
    return vit.eval()


def pixels() -> torch.Tensor:
    return torch.randn(2, 3, IMAGE, IMAGE, generator=torch.Generator().manual_seed(1))


def theirs(vit: Vit, names: dict[str, str], attention: str) -> dict[str, torch.Tensor]:
    """Rename block tensors and split the fused qkv as the public classes want them."""
    state = {}
    for name, tensor in vit.blocks.state_dict().items():
        for ours, public in names.items():
            name = name.replace(ours, public)
        if 'qkv' in name:
            for letter, part in zip('qkv', tensor.chunk(3), strict=True):
                state[name.replace('attn.qkv', f'{attention}.{letter}_proj')] = part
        else:
            state[name] = tensor
    return state


def test_dinov2_equals_the_public_implementation() -> None:
    vit = random_vit(DINO)
    public = Dinov2WithRegistersModel(
        Dinov2WithRegistersConfig(
            hidden_size=32,
            num_hidden_layers=3,
            num_attention_heads=4,
            mlp_ratio=4,
            image_size=IMAGE,
            patch_size=PATCH,
            num_register_tokens=4,
        )
    ).eval()
    public.layernorm = nn.Identity()
    names = {
        'attn.proj': 'attention.o_proj',
        'ls1.scale_factor': 'layer_scale1.lambda1',
        'ls2.scale_factor': 'layer_scale2.lambda1',
    }
    blocks = theirs(vit, names, 'attention')
    state = {f'encoder.layer.{name}': tensor for name, tensor in blocks.items()}
    state |= {
        'embeddings.cls_token': vit.cls_token,
        'embeddings.register_tokens': vit.reg_token,
        'embeddings.mask_token': public.embeddings.mask_token,
        'embeddings.position_embeddings': torch.cat([torch.zeros(1, 1, 32), vit.pos_embed], 1),
        'embeddings.patch_embeddings.projection.weight': vit.patch_embed.proj.weight,
        'embeddings.patch_embeddings.projection.bias': vit.patch_embed.proj.bias,
    }
    public.load_state_dict(state, strict=True)
    with torch.no_grad():
        expected = public(pixels()).last_hidden_state[:, 5:]
        # 1e-5 of values around 10: the sums run in another order.
        torch.testing.assert_close(vit(pixels()), expected, rtol=1e-5, atol=1e-5)


def test_siglip_equals_the_public_implementation() -> None:
    vit = random_vit(SIGLIP)
    public = SiglipVisionModel(
        SiglipVisionConfig(
            hidden_size=48,
            intermediate_size=80,
            num_hidden_layers=3,
            num_attention_heads=4,
            image_size=IMAGE,
            patch_size=PATCH,
            hidden_act='gelu',
            vision_use_head=False,
        )
    ).eval()
    public.post_layernorm = nn.Identity()
    names = {'attn.proj': 'self_attn.out_proj', 'norm1': 'layer_norm1', 'norm2': 'layer_norm2'}
    blocks = theirs(vit, names, 'self_attn')
    state = {f'encoder.layers.{name}': tensor for name, tensor in blocks.items()}
    state |= {
        'embeddings.position_embedding.weight': vit.pos_embed[0],
        'embeddings.patch_embedding.weight': vit.patch_embed.proj.weight,
        'embeddings.patch_embedding.bias': vit.patch_embed.proj.bias,
    }
    public.load_state_dict(state, strict=True)
    with torch.no_grad():
        expected = public(pixels()).last_hidden_state
        torch.testing.assert_close(vit(pixels()), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('config', [DINO, SIGLIP])
def test_only_patch_tokens_come_out(config: VitConfig) -> None:
    assert random_vit(config)(pixels()).shape == (2, 4, config.dim)


def test_the_last_block_is_never_built() -> None:
    assert len(Vit(DINO, IMAGE, PATCH).blocks) == DINO.depth - 1


def test_gelu_is_the_exact_one() -> None:
    mlp = Mlp(1, 1)
    for linear in (mlp.fc1, mlp.fc2):
        nn.init.ones_(linear.weight)
        nn.init.zeros_(linear.bias)
    # 2 * Phi(2) = 1.9544997; the tanh approximation gives 1.9545977.
    assert mlp(torch.tensor([2.0])).item() == pytest.approx(1.9544997, abs=1e-6)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(CheckpointError, match='dim 32 is not a multiple of heads 5'):
        VitConfig(dim=32, depth=3, heads=5, mlp=64)


@pytest.mark.parametrize('depth', [1, -3, 2.5, '3'])
def test_a_depth_without_a_used_block_is_refused(depth: object) -> None:
    with pytest.raises(CheckpointError, match='depth must be a whole number >= 2'):
        VitConfig(dim=32, depth=depth, heads=4, mlp=64)  # type: ignore[arg-type]
