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
All methods on a real language model: perplexity, divergence, agreement, true bits.

    .venv/bin/pip install --no-deps -r requirements/benchmark.txt
    .venv/bin/python -m benchmarks.quantization.smollm --scope 'two layers'
    .venv/bin/python -m benchmarks.quantization.smollm --scope all

128 calibration sequences, 8192 held-out tokens. Layers are quantized in order, each sees the
errors of those before it. ``--only LABEL`` measures single rows again; the others are kept. Writes
``benchmarks/results/quantization.json``.
"""

import argparse
from collections.abc import Iterator
import copy
from dataclasses import asdict
import json
import math
import time
from typing import Any

from benchmarks.quantization.language_model import (
    calibration,
    HeldOut,
    importance,
    LanguageModel,
    load,
    progress,
    scopes,
)
from benchmarks.record import merge_rows
from hbvla_ros.binarize.method import make_config, METHODS
from hbvla_ros.quantize.accounting import count_bits
from hbvla_ros.quantize.blocks import quantize_blocks
from hbvla_ros.quantize.state import BlockJob, BlockOptions
from hbvla_ros.quantize.tuning import TuneSettings
import torch

MODEL = 'SmolLM2-135M-Instruct'
H = {'corrected': 0.0}  # text has no policy: the plain Hessian, which was better in every run
NO_SALIENT = {**H, 'num_salient': 0}


def _row(label: str, method: str, settings: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {'label': label, 'method': method, 'settings': settings, 'options': options}


CORRECTED = {'target': 'corrected'}
RUNS = [
    _row('rtn', 'rtn', {}),
    _row('billm', 'billm', {}),
    _row('billm, exact feedback', 'billm', {'feedback': 'exact'}),
    _row('hbllm_row', 'hbllm_row', {}),
    _row('hbllm_row, exact feedback', 'hbllm_row', {'feedback': 'exact'}),
    _row('hbllm_col', 'hbllm_col', {}),
    _row('hbvla', 'hbvla', NO_SALIENT),
    _row('hbvla, 128 salient', 'hbvla', {**H, 'num_salient': 128}),
    _row('hbvla_plus, plain target', 'hbvla_plus', H, target='plain'),
    _row('hbvla_plus', 'hbvla_plus', H, **CORRECTED),
    _row('hbvla_plus, 128 salient', 'hbvla_plus', {**H, 'num_salient': 128}, **CORRECTED),
    _row('hbvla_plus, Hc mixed in', 'hbvla_plus', {}, **CORRECTED),
    _row('hbvla_plus, factor 0.5', 'hbvla_plus', H, **CORRECTED, target_factor=0.5),
    _row('hbvla_plus, haar', 'hbvla_plus', {**H, 'transform': 'haar'}, **CORRECTED),
    _row('hbvla_plus, block tuning', 'hbvla_plus', H, **CORRECTED, tune='block'),
    _row('two_plane, plain target', 'two_plane', H, target='plain'),
    _row('two_plane', 'two_plane', H, **CORRECTED),
    _row('two_plane, block tuning', 'two_plane', H, **CORRECTED, tune='block'),
    _row('rtn, corrected target', 'rtn', {}, **CORRECTED),
    _row('billm, corrected target', 'billm', {}, **CORRECTED),
    _row('hbllm_row, corrected target', 'hbllm_row', {}, **CORRECTED),
    _row('hbvla, corrected target', 'hbvla', NO_SALIENT, **CORRECTED),
]


def mean(values: list[float]) -> float:
    """Return the geometric mean of positive numbers."""
    return math.exp(sum(math.log(max(value, 1e-12)) for value in values) / len(values))


def measure(scope: str, only: list[str], sequences: int, length: int) -> Iterator[dict[str, Any]]:
    """Yield one row per run."""
    network, ids = load()
    windows = calibration(ids, sequences, length)
    model = LanguageModel(network, scopes()[scope])
    held_out = HeldOut(model, ids)
    scores = importance(model, windows)
    common = {'model': MODEL, 'scope': scope, 'calibration_tokens': sequences * length}
    full = held_out.measure(model)
    yield {**common, 'label': 'full precision', 'method': 'fp', **vars(full)}
    by_label = {run['label']: run for run in RUNS}
    for run in [by_label[label] for label in only] or RUNS:
        began = time.perf_counter()
        job = quantize(
            LanguageModel(copy.deepcopy(network), scopes()[scope]), windows, scores, run
        )
        seconds = time.perf_counter() - began
        bits = count_bits(job.layers)
        errors = [layer.output_error for layer in job.layers.values()]
        policy = [layer.policy_error for layer in job.layers.values()]
        yield {
            **common,
            **run,
            'config': asdict(job.config),
            'bits_sign': bits.sign,
            'bits_stored': bits.stored,
            'bits_stored_at_oft': bits.stored_at_oft,
            'output_error': mean(errors),
            'policy_error': mean(policy),
            **vars(held_out.measure(job.model)),
            'seconds': seconds,
            'threads': torch.get_num_threads(),
        }


def quantize(
    model: LanguageModel,
    windows: list[torch.Tensor],
    scores: dict[str, list[torch.Tensor]],
    run: dict[str, Any],
) -> BlockJob:
    """Quantize a model in place; return the finished job."""
    method = METHODS[run['method']]
    options = BlockOptions(tuning=TuneSettings(batch=2), **run['options'])
    config = make_config(method, run['settings'])
    job = BlockJob(model, windows, method, config, ('language',), options=options)
    job.importance = scores
    plan = job.plan()
    progress(quantize_blocks(job, plan), len(plan), run['label'])
    return job


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description='Methods on a language model')
    parser.add_argument('--scope', choices=list(scopes()), default='two layers')
    parser.add_argument('--only', action='append', default=[], help='label of a row')
    parser.add_argument('--sequences', type=int, default=128)
    parser.add_argument('--length', type=int, default=128)
    args = parser.parse_args()
    for row in measure(args.scope, args.only, args.sequences, args.length):
        merge_rows('quantization', [row], ('model', 'scope', 'label', 'calibration_tokens'))
        print(json.dumps(row), flush=True)


if __name__ == '__main__':
    main()
