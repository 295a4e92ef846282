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

"""The joined network: sequence, attention, readout, names, blocks, preparation."""

from collections.abc import Callable
import json
import math
from typing import Any

from hbvla_ros.core.errors import CheckpointError, ObservationError
from hbvla_ros.core.observation import Observation
from hbvla_ros.models.base import COMPONENTS, MODELS, PolicyFacts
from hbvla_ros.models.openvla_oft.model import OftInputs, OpenVlaOft
import numpy as np
import pytest
import torch
from torch import nn

Observe = Callable[..., Observation]


def record(module: nn.Module, into: list[torch.Tensor]) -> None:
    """Append the first positional argument of every call."""
    module.register_forward_pre_hook(lambda _, args: into.append(args[0]))


@pytest.fixture
def inputs(tiny_oft: OpenVlaOft, observe: Observe) -> OftInputs:
    return tiny_oft.prepare(observe(tiny_oft))


# --- sequence, attention, readout -----------------------------------------------------------


def test_a_chunk_has_the_shape_of_the_facts(tiny_oft: OpenVlaOft, inputs: OftInputs) -> None:
    chunk = tiny_oft(inputs)
    assert chunk.shape == (1, 25, 14)
    assert chunk.dtype == torch.float32
    assert not chunk.requires_grad


def test_the_sequence_has_the_published_order(tiny_oft: OpenVlaOft, inputs: OftInputs) -> None:
    sequences: list[torch.Tensor] = []
    record(tiny_oft.language_model, sequences)
    tiny_oft(inputs)
    words = tiny_oft.language_model.model.embed_tokens(inputs.ids)
    images = tiny_oft.projector(tiny_oft.vision_backbone(inputs.pixels))
    state = tiny_oft.proprio_projector(inputs.state)[:, None]
    empty = torch.zeros(1, 25 * 14, 128)
    order = [words[:, :1], images, state, words[:, 1:-1], empty, words[:, -1:]]
    assert images.shape == (1, 3 * 4, 128)
    assert torch.equal(sequences[0], torch.cat(order, 1))


def test_each_vision_network_reads_its_own_channels_of_every_picture(
    tiny_oft: OpenVlaOft, inputs: OftInputs
) -> None:
    dino: list[torch.Tensor] = []
    siglip: list[torch.Tensor] = []
    record(tiny_oft.vision_backbone.featurizer, dino)
    record(tiny_oft.vision_backbone.fused_featurizer, siglip)
    features = tiny_oft.vision_backbone(inputs.pixels)
    pictures = inputs.pixels[0].reshape(3, 2, 3, 28, 28)
    assert torch.equal(dino[0], pictures[:, 0])
    assert torch.equal(siglip[0], pictures[:, 1])
    second = tiny_oft.vision_backbone.featurizer(pictures[1:2, 0])
    torch.testing.assert_close(features[:, 4:8, :32], second, rtol=0, atol=1e-5)


def test_the_head_reads_from_the_lone_space_to_the_second_last_slot(
    tiny_oft: OpenVlaOft, inputs: OftInputs
) -> None:
    heads: list[torch.Tensor] = []
    outputs: list[torch.Tensor] = []
    record(tiny_oft.action_head, heads)
    tiny_oft.language_model.register_forward_hook(lambda _, __, out: outputs.append(out))
    tiny_oft(inputs)
    # The reference's law: from patches + 1 (state) + prompt ids after the first, K * A positions.
    start = 3 * 4 + 1 + (inputs.ids.shape[1] - 1 - 1)
    end = start + 25 * 14
    assert torch.equal(heads[0], outputs[0][:, start:end])
    assert end == outputs[0].shape[1] - 2


def test_the_small_networks_compute_the_published_formulas(tiny_oft: OpenVlaOft) -> None:
    draw = torch.Generator().manual_seed(0)
    state, features, hidden = (
        torch.randn(shape, generator=draw) for shape in ((2, 14), (2, 5, 80), (2, 28, 128))
    )
    weights = tiny_oft.state_dict()

    def linear(name: str, x: torch.Tensor) -> torch.Tensor:
        return x @ weights[f'{name}.weight'].T + weights[f'{name}.bias']

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        unit = (x - x.mean(-1, keepdim=True)) / (
            x.var(-1, correction=0, keepdim=True) + 1e-5
        ).sqrt()
        return unit * weights[f'{name}.weight'] + weights[f'{name}.bias']

    def gelu(x: torch.Tensor) -> torch.Tensor:
        return x * (1 + torch.erf(x / math.sqrt(2))) / 2

    token = linear('proprio_projector.fc2', gelu(linear('proprio_projector.fc1', state)))
    inner = gelu(linear('projector.fc2', gelu(linear('projector.fc1', features))))
    head = 'action_head.model'
    x = norm(f'{head}.layer_norm1', hidden.reshape(2, 2, 14 * 128))
    x = linear(f'{head}.fc1', x).relu()
    for i in range(2):
        part = f'{head}.mlp_resnet_blocks.{i}.ffn'
        x = x + linear(f'{part}.1', norm(f'{part}.0', x)).relu()
    actions = linear(f'{head}.fc2', norm(f'{head}.layer_norm2', x))
    # float32 sums over up to 1792 terms in another order.
    close = {'rtol': 1e-4, 'atol': 1e-4}
    torch.testing.assert_close(tiny_oft.proprio_projector(state), token, **close)
    torch.testing.assert_close(
        tiny_oft.projector(features), linear('projector.fc3', inner), **close
    )
    torch.testing.assert_close(tiny_oft.action_head(hidden), actions, **close)


def test_every_token_sees_the_last_one(tiny_oft: OpenVlaOft) -> None:
    tokens = torch.randn(1, 9, 128, generator=torch.Generator().manual_seed(0))
    other = tokens.clone()
    other[:, -1] += 1
    language = tiny_oft.language_model
    change = (language(tokens) - language(other)).abs().amax(-1)
    assert change[0, 0] > 1e-3


def test_attention_is_full_and_not_causal(tiny_oft: OpenVlaOft) -> None:
    tokens = torch.randn(2, 9, 128, generator=torch.Generator().manual_seed(0))
    llama = tiny_oft.language_model.model
    ours = tiny_oft.language_model(tokens)
    everything = torch.zeros(2, 1, 9, 9)
    explicit = llama(inputs_embeds=tokens, attention_mask=everything, use_cache=False)
    # Without the argument the setting counts: it is what a second thread sees during a call.
    by_setting = llama(inputs_embeds=tokens, use_cache=False)
    causal = llama(inputs_embeds=tokens, use_cache=False, is_causal=True)
    assert torch.equal(ours, by_setting.last_hidden_state)
    torch.testing.assert_close(ours, explicit.last_hidden_state, rtol=0, atol=1e-5)
    assert (ours - causal.last_hidden_state).abs().max() > 0.1


def test_a_batch_gives_what_its_entries_give(tiny_oft: OpenVlaOft, observe: Observe) -> None:
    one, two = (tiny_oft.prepare(observe(tiny_oft, seed)) for seed in (1, 2))
    names = ('pixels', 'state', 'ids')
    both = OftInputs(*(torch.cat([getattr(one, n), getattr(two, n)]) for n in names))
    expected = torch.cat([tiny_oft(one), tiny_oft(two)])
    # 1e-4 of actions around 0.3: sums over a batch run in another order.
    torch.testing.assert_close(tiny_oft(both), expected, rtol=0, atol=1e-4)


def test_bfloat16_agrees_with_float32(tiny_oft: OpenVlaOft, observe: Observe) -> None:
    observation = observe(tiny_oft)
    exact = tiny_oft(tiny_oft.prepare(observation))
    rough = tiny_oft.to(torch.bfloat16)(tiny_oft.prepare(observation))
    assert rough.dtype == torch.float32
    # Actions span about one; eight bits of mantissa through a dozen layers leave 0.02.
    assert 0 < (exact - rough).abs().max() < 0.05


def test_casting_does_not_round_the_rotary_frequencies(tiny_oft: OpenVlaOft) -> None:
    rotary = tiny_oft.to(torch.bfloat16).language_model.model.rotary_emb
    # Heads of width 32: 10000 ** (-2 i / 32).
    assert rotary.inv_freq.tolist() == pytest.approx([1e4 ** (-i / 16) for i in range(16)])
    assert rotary.inv_freq.dtype == torch.float32


# --- description, names, shapes --------------------------------------------------------------


def test_a_skeleton_with_assigned_weights_is_the_same_policy(
    tiny_oft: OpenVlaOft, inputs: OftInputs
) -> None:
    described = json.loads(json.dumps(tiny_oft.architecture()))
    facts = PolicyFacts.from_json(json.loads(json.dumps(tiny_oft.facts.to_json())))
    rebuilt = OpenVlaOft.skeleton(described, facts, tiny_oft.assets())
    assert all(parameter.is_meta for parameter in rebuilt.parameters())
    rebuilt.load_state_dict(tiny_oft.state_dict(), strict=True, assign=True)
    assert torch.equal(rebuilt(inputs), tiny_oft(inputs))
    assert rebuilt.architecture() == tiny_oft.architecture()


def test_the_registry_knows_the_model() -> None:
    assert MODELS['openvla_oft'].network is OpenVlaOft


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'kind': 'cogact'}, "expected kind 'openvla_oft', got 'cogact'"),
        ({'colour': 1}, 'unexpected keyword argument'),
        ({'dino': None}, 'architecture/dino'),
        ({'image_size': 30}, 'image_size 30 is not a multiple of patch_size 14'),
        ({'pixel_std': [0.5] * 5}, 'must hold six values'),
        ({'language': {'hidden_size': 100}}, 'does not give 32 heads of an even width'),
    ],
)
def test_another_description_is_refused(
    tiny_oft: OpenVlaOft, change: dict[str, Any], message: str
) -> None:
    described = {**tiny_oft.architecture(), **change}
    with pytest.raises(CheckpointError, match=message):
        OpenVlaOft.skeleton(described, tiny_oft.facts, tiny_oft.assets())


def test_an_incomplete_description_is_refused(tiny_oft: OpenVlaOft) -> None:
    described = tiny_oft.architecture()
    del described['siglip']
    with pytest.raises(CheckpointError, match='architecture/siglip'):
        OpenVlaOft.skeleton(described, tiny_oft.facts, tiny_oft.assets())


def test_a_skeleton_needs_its_tokenizer(tiny_oft: OpenVlaOft) -> None:
    with pytest.raises(CheckpointError, match=r'tokenizer\.json is missing'):
        OpenVlaOft.skeleton(tiny_oft.architecture(), tiny_oft.facts, {})


# --- blocks ----------------------------------------------------------------------------------


def test_every_linear_is_in_one_family_or_kept(tiny_oft: OpenVlaOft) -> None:
    linears = [name for name, m in tiny_oft.named_modules() if isinstance(m, nn.Linear)]
    planned = [n for block in tiny_oft.blocks() for family in block.families for n in family]
    assert sorted([*planned, *tiny_oft.kept()]) == sorted(linears)
    assert all(tiny_oft.kept().values())


def test_linears_of_a_block_lie_inside_it(tiny_oft: OpenVlaOft) -> None:
    for block in tiny_oft.blocks():
        assert block.component in COMPONENTS
        assert all(n.startswith(f'{block.name}.') for family in block.families for n in family)


def test_families_share_their_input(tiny_oft: OpenVlaOft, inputs: OftInputs) -> None:
    seen: dict[str, list[torch.Tensor]] = {}
    for name, module in tiny_oft.named_modules():
        if isinstance(module, nn.Linear):
            record(module, seen.setdefault(name, []))
    tiny_oft(inputs)
    for block in tiny_oft.blocks():
        firsts = [seen[family[0]][0] for family in block.families]
        for family, first in zip(block.families, firsts, strict=True):
            assert all(len(seen[n]) == 1 and seen[n][0] is first for n in family)
        assert len({id(first) for first in firsts}) == len(firsts)


def test_blocks_run_once_in_their_order_and_feed_each_other(
    tiny_oft: OpenVlaOft, inputs: OftInputs
) -> None:
    calls: list[tuple[str, torch.Tensor, torch.Tensor]] = []
    for block in tiny_oft.blocks():
        tiny_oft.get_submodule(block.name).register_forward_hook(
            lambda _, args, out, name=block.name: calls.append((name, args[0], out))
        )
    tiny_oft(inputs)
    blocks = tiny_oft.blocks()
    assert [name for name, _, _ in calls] == [block.name for block in blocks]
    for before, after, left, right in zip(blocks, blocks[1:], calls, calls[1:], strict=False):
        assert (left[2] is right[1]) == (before.chain == after.chain)


# --- preparation -----------------------------------------------------------------------------


def test_state_is_scaled_to_the_statistics(tiny_oft: OpenVlaOft, observe: Observe) -> None:
    scaling = tiny_oft.facts.scaling('proprio')
    for bound, expected in ((scaling.low, -1), (scaling.high, 1)):
        observation = observe(tiny_oft, state=bound.astype(np.float32))
        state = tiny_oft.prepare(observation).state
        assert state.shape == (1, 14)
        assert state.numpy() == pytest.approx(np.full((1, 14), expected), abs=1e-6)


def test_prepared_inputs_take_the_type_of_the_model(
    tiny_oft: OpenVlaOft, observe: Observe
) -> None:
    inputs = tiny_oft.to(torch.bfloat16).prepare(observe(tiny_oft))
    assert inputs.pixels.dtype == inputs.state.dtype == torch.bfloat16
    assert inputs.pixels.shape == (1, 18, 28, 28)
    assert inputs.ids.dtype == torch.int64


def test_spaces_around_the_instruction_do_not_matter(
    tiny_oft: OpenVlaOft, observe: Observe
) -> None:
    plain, spaced = (
        tiny_oft.prepare(observe(tiny_oft, instruction=text)).ids for text in ('lift', '  lift\n')
    )
    assert torch.equal(plain, spaced)


def test_a_missing_camera_is_named(tiny_oft: OpenVlaOft, observe: Observe) -> None:
    images = {'cam_high': np.zeros((28, 28, 3), np.uint8)}
    with pytest.raises(ObservationError, match=r"needs 3 images, got \['cam_high'\]"):
        tiny_oft.prepare(observe(tiny_oft, images=images))


def test_a_short_state_is_refused(tiny_oft: OpenVlaOft, observe: Observe) -> None:
    with pytest.raises(ObservationError, match='state of 14 values, got 7'):
        tiny_oft.prepare(observe(tiny_oft, state=np.zeros(7, np.float32)))


def test_an_instruction_that_fills_the_sequence_is_refused(
    tiny_oft: OpenVlaOft, observe: Observe
) -> None:
    # Four bytes per character, each a token of its own.
    with pytest.raises(ObservationError, match='at most 2048 fit; shorten it'):
        tiny_oft.prepare(observe(tiny_oft, instruction='🤖' * 512))
