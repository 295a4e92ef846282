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
Dual dominance in a fixture: tokens with huge activations that don't matter for the action.

    .venv/bin/python -m benchmarks.quantization.distractor

A tenth of the tokens are ten times larger, pass another mixing and have a policy weight of 0.02.
Weights are heavy-tailed with outlier columns. Every method runs with the plain Hessian H and with
the corrected one Hc; errors are measured on fresh tokens. Ten seeds; the cut is given with the
standard error of its mean. Writes rows of ``benchmarks/results/quantization.json``.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict
import math
import statistics
import time
from typing import Any

from benchmarks.record import merge_rows
from hbvla_ros.binarize.method import FamilyStats, make_config, METHODS, output_error
from hbvla_ros.quantize.accounting import count_bits
from hbvla_ros.quantize.state import QuantizedLayer
import torch

WIDTH, TOKENS, SEEDS = 512, 4096, range(100, 110)
SHARE, LARGER, WEIGHT = 0.1, 10.0, 0.02
Draw = Callable[[float], FamilyStats]
RUNS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ('rtn', 'rtn', {}),
    ('billm', 'billm', {}),
    ('hbllm_row', 'hbllm_row', {}),
    ('hbllm_col', 'hbllm_col', {}),
    ('hbvla, no salient', 'hbvla', {'num_salient': 0}),
    ('hbvla', 'hbvla', {}),
    ('hbvla_plus', 'hbvla_plus', {}),
    ('hbvla_plus, 64 salient', 'hbvla_plus', {'num_salient': 64}),
    ('two_plane', 'two_plane', {}),
)


def problem(seed: int) -> tuple[torch.Tensor, Draw]:
    """Return a weight and what draws tokens: noisy importance for calibration, exact for tests."""
    g = torch.Generator().manual_seed(seed)
    tails = torch.distributions.StudentT(torch.tensor(4.0))
    torch.manual_seed(seed)  # the distribution knows no generator
    weight = tails.sample((WIDTH, WIDTH)) * 0.02
    weight[:, torch.randperm(WIDTH, generator=g)[:16]] *= 3
    near, far = (
        torch.eye(WIDTH) + 0.4 * torch.randn(WIDTH, WIDTH, generator=g) / WIDTH**0.5
        for _ in range(2)
    )
    scales = [torch.exp(0.6 * torch.randn(WIDTH, generator=g)) for _ in range(2)]

    def draw(noise: float) -> FamilyStats:
        z = torch.randn(TOKENS, WIDTH, generator=g)
        away = torch.rand(TOKENS, generator=g) < SHARE
        x = torch.where(away[:, None], LARGER * (z @ far) * scales[1], (z @ near) * scales[0])
        s = torch.where(away, WEIGHT, 1.0)
        s = s / s.mean()
        s = s * torch.exp(noise * torch.randn(TOKENS, generator=g))
        return FamilyStats(2 / TOKENS * x.T @ x, 2 / TOKENS * x.T @ (x * s[:, None]))

    return weight, draw


def measure() -> Iterator[dict[str, Any]]:
    """Yield two rows per method: with H and with Hc."""
    problems = [(weight, draw(0.3), draw(0.0)) for weight, draw in map(problem, SEEDS)]
    for label, name, settings in RUNS:
        found: dict[str, list[float]] = {}
        for hessian, corrected in (('H', 0.0), ('Hc', 1.0)):
            if name == 'rtn' and corrected:
                continue  # it has no Hessian
            chosen = {} if name == 'rtn' else {**settings, 'corrected': corrected}
            row = _run(problems, name, chosen)
            found[hessian] = row.pop('policy_errors')
            cut = [1 - new / old for old, new in zip(found['H'], found[hessian], strict=True)]
            yield {
                'model': 'distractor fixture',
                'scope': f'{WIDTH}x{WIDTH}',
                'label': f'{label}, {hessian}',
                'method': name,
                **row,
                'policy_cut': statistics.mean(cut),
                'policy_cut_standard_error': statistics.stdev(cut) / math.sqrt(len(cut)),
            }


def _run(problems: list[Any], name: str, settings: dict[str, Any]) -> dict[str, Any]:
    method = METHODS[name]
    config = make_config(method, settings)
    policy, plain, bits = [], [], []
    began = time.perf_counter()
    for weight, stats, held_out in problems:
        (code,) = method.quantize([weight], stats, config)
        dense = code.dequantize()
        policy.append(output_error(weight, dense, held_out.corrected))
        plain.append(output_error(weight, dense, held_out.plain))
        bits.append(count_bits({'w': QuantizedLayer(code, 'language', 'w', 0.0, 0.0, 0.0)}))
    return {
        'config': asdict(config),
        'bits_sign': statistics.mean(one.sign for one in bits),
        'bits_stored': statistics.mean(one.stored for one in bits),
        'bits_stored_at_oft': statistics.mean(one.stored_at_oft for one in bits),
        'output_error': statistics.mean(plain),
        'policy_error': statistics.mean(policy),
        'policy_errors': policy,
        'seconds': time.perf_counter() - began,
    }


def main() -> None:
    """Measure, print and record."""
    for row in measure():
        merge_rows('quantization', [row], ('model', 'scope', 'label'))
        print(
            f'{row["label"]:28} {row["bits_stored"]:.3f} bits  policy {row["policy_error"]:.4f}  '
            f'plain {row["output_error"]:.4f}  cut {row["policy_cut"]:.3f} '
            f'+- {row["policy_cut_standard_error"]:.3f}'
        )


if __name__ == '__main__':
    main()
