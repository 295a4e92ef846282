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
Time one Llama-2-7B layer, attention included, packed against torch bf16.

    .venv/bin/python -m benchmarks.layer [--rows 605] [--threads 1 2]

Both layers are the same transformers module in bfloat16; one has its seven linears packed, as
``models/surgery.py`` puts them. Writes ``benchmarks/results/layer.json`` and the table of
``doc/kernels.md``.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
import json
import os
from typing import Any

from benchmarks.kernel_cases import alternate, random_packed
from benchmarks.record import merge_rows, REPOSITORY, RESULTS
from benchmarks.tables import fill, markdown
from hbvla_ros.kernels.memory import keep_freed_memory
from hbvla_ros.models.fused import fuse
from hbvla_ros.models.linear import BinaryLinear
from hbvla_ros.models.surgery import insert_packed
import torch
from torch import nn
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRotaryEmbedding

PAGE = REPOSITORY / 'doc' / 'kernels.md'
NAME = 'layer'
FAMILIES = (
    ('self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'),
    ('self_attn.o_proj',),
    ('mlp.gate_proj', 'mlp.up_proj'),
    ('mlp.down_proj',),
)


def main() -> None:
    """Measure the layer and fill the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rows', type=int, default=605)
    parser.add_argument('--threads', type=int, nargs='*', default=[1, os.cpu_count() or 1])
    parser.add_argument('--budget', type=float, default=30, help='seconds for each thread count')
    arguments = parser.parse_args()
    keep_freed_memory()
    with torch.inference_mode():
        for threads in dict.fromkeys(arguments.threads):
            torch.set_num_threads(threads)
            _measure(arguments.rows, threads, arguments.budget)
    fill_page()


def _measure(rows: int, threads: int, budget_s: float) -> None:
    config = LlamaConfig(attn_implementation='sdpa')  # its defaults are those of Llama-2-7B
    layers = {kind: _layer(config, kind) for kind in ('torch bf16', 'exact', 'int8', 'none')}
    x = torch.randn(1, rows, config.hidden_size, dtype=torch.bfloat16)
    places = LlamaRotaryEmbedding(config)(x, torch.arange(rows)[None])
    runs = {
        kind: lambda layer=layer: layer(x, position_embeddings=places)
        for kind, layer in layers.items()
    }
    seconds = alternate(runs, threads=threads, budget_s=budget_s)
    rival = seconds['torch bf16']
    found = [
        {
            'activations': kind, 'm': rows, 'threads': threads, 'ms': 1e3 * seconds[kind],
            'torch_bf16_ms': 1e3 * rival, 'ratio': rival / seconds[kind],
            'without_linears_ms': 1e3 * seconds['none'],
        }
        for kind in ('exact', 'int8')
    ]  # fmt: skip
    print(json.dumps(found, indent=1), flush=True)
    merge_rows(NAME, found, ('activations', 'm', 'threads'))


class _Nothing(nn.Module):
    """A linear that costs nothing, to see what the rest of the layer costs."""

    def __init__(self, out: int) -> None:
        super().__init__()
        self.out = out
        self.result: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shape = (*x.shape[:-1], self.out)
        if self.result is None or self.result.shape != shape:
            self.result = x.new_full(shape, 0.01)
        return self.result


def _layer(config: LlamaConfig, kind: str) -> nn.Module:
    torch.manual_seed(0)
    layer = LlamaDecoderLayer(config, 0).to(torch.bfloat16).eval()
    if kind == 'none':
        for name in (name for family in FAMILIES for name in family):
            parent, _, leaf = name.rpartition('.')
            out = layer.get_submodule(name).out_features
            setattr(layer.get_submodule(parent), leaf, _Nothing(out))
        fuse(layer)
    elif kind != 'torch bf16':
        insert_packed(layer, _packed(layer, allows_int8=kind == 'int8'))
        fuse(layer)
        assert isinstance(layer.mlp.down_proj, BinaryLinear)
    return layer


def _packed(layer: nn.Module, *, allows_int8: bool) -> dict[str, Any]:
    packed = {}
    for seed, family in enumerate(FAMILIES):
        layout = None
        for name in family:
            dense = layer.get_submodule(name)
            one = random_packed(dense.out_features, dense.in_features, layout=layout, seed=seed)
            layout = one.layout
            packed[name] = replace(one, allows_int8=allows_int8)
    return packed


def tables(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return the table of the layer."""
    head = ('activations', 'rows', 'threads', 'packed', 'torch bf16', 'ratio', 'without linears')
    lines = [
        (
            row['activations'], str(row['m']), str(row['threads']), f'{row["ms"]:.0f} ms',
            f'{row["torch_bf16_ms"]:.0f} ms', f'{row["ratio"]:.2f}x',
            f'{row["without_linears_ms"]:.0f} ms',
        )
        for row in rows
    ]  # fmt: skip
    return {'layer': markdown(head, lines)}


def fill_page() -> None:
    """Write the table of the documentation from the results file."""
    rows = json.loads((RESULTS / f'{NAME}.json').read_text(encoding='utf-8'))
    PAGE.write_text(fill(PAGE.read_text(encoding='utf-8'), tables(rows)), encoding='utf-8')


if __name__ == '__main__':
    main()
