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
How time and memory of the packed language model grow with tokens, depth and width.

    python -m benchmarks.growth [--kernel amx_int8] [--threads 1]

Each point is a process of its own with random weights. Writes ``benchmarks/results/growth.json``
and ``doc/images/growth.png``.
"""

import argparse
from collections.abc import Mapping, Sequence
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

from benchmarks.full_size_stages import peaks
from benchmarks.record import merge_rows, REPOSITORY, RESULTS
from hbvla_ros.binarize.layout import ColumnLayout
from hbvla_ros.kernels.packing import array_shapes, PackedWeight
from hbvla_ros.models.linear import BinaryLinear
from hbvla_ros.models.prismatic.config import LanguageConfig
from hbvla_ros.models.prismatic.networks import LanguageModel
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

IMAGE = REPOSITORY / 'doc' / 'images' / 'growth.png'
AXES = {
    'tokens': (1, 16, 64, 256, 605, 1143),
    'layers': (1, 2, 4, 8),
    'width': (512, 1024, 2048, 4096),
}
STANDARD = {'tokens': 605, 'layers': 2, 'width': 4096}
_HEAD = 128  # width of one attention head
_REPETITIONS = 3


def main() -> None:
    """Measure every point, or one of them in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--kernel', default='', help='as HBVLA_KERNEL; empty chooses')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--point', type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.point:
        torch.set_num_threads(arguments.threads)
        print(json.dumps(measure(**arguments.point)))
        return
    rows = []
    for axis, values in AXES.items():
        for value in values:
            point = {**STANDARD, axis: value}
            found = _apart(point, arguments)
            rows.append({'axis': axis, 'value': value, **point, **found})
            print(json.dumps(rows[-1]), flush=True)
    merge_rows('growth', rows, ('axis', 'value', 'kernel', 'threads'))
    plot(json.loads((RESULTS / 'growth.json').read_text(encoding='utf-8')))


def _apart(point: Mapping[str, int], arguments: argparse.Namespace) -> dict[str, Any]:
    command = [
        sys.executable, '-m', 'benchmarks.growth', '--point', json.dumps(point),
        '--threads', str(arguments.threads),
    ]  # fmt: skip
    environment = dict(os.environ)
    if arguments.kernel:
        environment['HBVLA_KERNEL'] = arguments.kernel
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    settings = {'kernel': arguments.kernel or 'auto', 'threads': arguments.threads}
    return settings | found


@torch.inference_mode()
def measure(tokens: int, layers: int, width: int) -> dict[str, Any]:
    """Time one forward pass in bfloat16 and note the memory that model and pass took."""
    before = peaks()['peak_rss_mib']
    model = packed_language_model(layers, width)
    held = sum(m.packed.stored_bytes for m in model.modules() if isinstance(m, BinaryLinear))
    x = torch.randn(1, tokens, width, generator=torch.Generator().manual_seed(0)).bfloat16()
    model(x)
    walls, used = [], []
    for _ in range(_REPETITIONS):
        start = time.perf_counter(), time.process_time()
        model(x)
        walls.append(time.perf_counter() - start[0])
        used.append(time.process_time() - start[1])
    return {
        'seconds': round(statistics.median(walls), 4),
        'cpu_seconds': round(statistics.median(used), 4),
        'packed_mib': round(held / 2**20, 1),
        'added_peak_mib': peaks()['peak_rss_mib'] - before,
        'load_average': round(os.getloadavg()[0], 1),
    }


def packed_language_model(layers: int, width: int) -> LanguageModel:
    """Return a Llama of Llama-2's proportions with random packed weights, in bfloat16."""
    config = LanguageConfig(
        hidden_size=width,
        intermediate_size=round(width * 11008 / 4096),
        num_hidden_layers=layers,
        num_attention_heads=width // _HEAD,
        vocab_size=32,
    )
    with torch.device('meta'):
        model = LanguageModel(config)
    rng = np.random.default_rng(0)
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear):
            parent, _, leaf = name.rpartition('.')
            packed = _random(module.out_features, module.in_features, rng)
            setattr(model.get_submodule(parent), leaf, BinaryLinear(packed, None))
    for name, parameter in list(model.named_parameters()):
        parent, _, leaf = name.rpartition('.')
        values = nn.Parameter(torch.ones(parameter.shape).bfloat16(), requires_grad=False)
        setattr(model.get_submodule(parent), leaf, values)
    model.restore_rotary()
    return model.eval()


def _random(out: int, columns: int, rng: np.random.Generator) -> PackedWeight:
    layout = ColumnLayout(columns, _HEAD, 'haar', 'haar', torch.arange(columns))
    shapes = array_shapes(out, layout)
    levels = rng.integers(-127, 128, shapes['levels'], dtype=np.int8)
    return PackedWeight(
        layout,
        out,
        torch.from_numpy(rng.integers(0, 2**64, shapes['bits'], dtype=np.uint64).view(np.int64)),
        torch.from_numpy(levels),
        torch.full(shapes['row_scale'], (73 * columns**0.5) ** -1),
    )


def plot(rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw time above and memory below, against each axis."""
    figure, panels = plt.subplots(2, len(AXES), figsize=(11, 5.5), squeeze=False)
    groups = sorted({(row['kernel'], row['threads']) for row in rows})
    for column, axis in enumerate(AXES):
        for kernel, threads in groups:
            own = [r for r in rows if (r['kernel'], r['threads']) == (kernel, threads)]
            own = sorted((r for r in own if r['axis'] == axis), key=lambda r: r['value'])
            places = [r['value'] for r in own]
            label = f'{kernel}, {threads} thread{"s" * (threads > 1)}'
            panels[0][column].plot(places, [r['cpu_seconds'] for r in own], 'o-', label=label)
            panels[1][column].plot(places, [r['added_peak_mib'] for r in own], 'o-', label=label)
        packed = {r['value']: r['packed_mib'] for r in rows if r['axis'] == axis}
        panels[1][column].plot(
            sorted(packed), [packed[v] for v in sorted(packed)], 'k:', label='packed weights'
        )
        panels[1][column].set_xlabel(axis)
        for row in panels:
            row[column].grid(alpha=0.3)
            row[column].set_ylim(bottom=0)
    panels[0][0].set_ylabel('processor seconds of one pass')
    panels[1][0].set_ylabel('peak memory added, MiB')
    panels[0][0].legend(fontsize=8)
    panels[1][0].legend(fontsize=8)
    standard = ', '.join(f'{value} {name}' for name, value in STANDARD.items())
    figure.suptitle(f'Packed language model, bfloat16; what does not vary: {standard}')
    figure.tight_layout()
    figure.savefig(IMAGE, dpi=110)
    plt.close(figure)


if __name__ == '__main__':
    main()
