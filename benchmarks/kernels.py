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
Time the native kernels against torch in one process, rivals alternating.

    .venv/bin/python -m benchmarks.kernels [--all] [--threads 1 2] [--again] [--ggml DIR]

The default takes the three shapes of the language model at 1, 16 and 605 rows; ``--all`` every
linear of OpenVLA-OFT at every number of rows, for the figure. Rows that the results file already
has from this commit are left alone unless ``--again``. ``--ggml`` adds llama.cpp's formats of
about one bit, from libraries built elsewhere. Writes ``benchmarks/results/kernels.json``, the
tables and the figure of ``doc/kernels.md``.
"""

import argparse
from collections.abc import Callable, Sequence
from itertools import product
import json
import os
from pathlib import Path
import time
from typing import Any

from benchmarks import ggml
from benchmarks.kernel_cases import alternate, random_packed, ROWS, SHAPES
from benchmarks.record import commit, merge_rows, REPOSITORY, RESULTS
from benchmarks.tables import fill, markdown
from hbvla_ros.kernels import native
from hbvla_ros.kernels.cpu import CpuKernel
from hbvla_ros.kernels.dispatch import KERNELS, load_kernel
from hbvla_ros.kernels.memory import keep_freed_memory
from hbvla_ros.kernels.packing import PackedWeight
from matplotlib.figure import Figure
import torch
from torch.nn import functional

PAGE = REPOSITORY / 'doc' / 'kernels.md'
FIGURE = REPOSITORY / 'doc' / 'images' / 'kernels.png'
NAME = 'kernels'
KEY = ('kernel', 'shape', 'm', 'threads', 'rival')
LLM = ('llm qkvo', 'llm gate, up', 'llm down')
LLM_ROWS = (1, 16, 605)  # with these shapes, what the tables show; the figure shows everything
FEW = 16  # rows up to which the kernels for few rows are timed
FLOAT32 = ('avx512', 'avx2', 'avx512_lut')  # their inputs are float32, so is their first rival
GGML_BLOCK = 256  # columns that the weights of TQ1_0 and IQ1_S come in
GGML_FEW, GGML_MANY = ('avx512_lut', 'avx512_vnni'), ('amx_bf16', 'amx_int8')  # as chosen
DRAWN = GGML_FEW + GGML_MANY  # what the figure shows, of shapes outside the language model
SLOW = ('portable', 'portable_int8')  # never chosen for many rows where there is AVX2
BUDGET_S = 1.0
MARKERS, TICKS = 'os', (1, 2, 3, 5, 10, 20)  # of the figure


def main() -> None:
    """Measure what is asked for and fill the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--all', action='store_true', help='every shape and number of rows')
    parser.add_argument('--threads', type=int, nargs='*', default=[1, os.cpu_count() or 1])
    parser.add_argument('--again', action='store_true', help='measure known rows anew')
    parser.add_argument('--tables', action='store_true', help='only fill the page')
    parser.add_argument('--ggml', type=Path, help='folder with libggml-base.so and libggml-cpu.so')
    arguments = parser.parse_args()
    keep_freed_memory()  # as a policy does
    rival = None
    if arguments.ggml:
        rival = ggml.Ggml(arguments.ggml)
        ggml.check(rival)
    if not arguments.tables:
        shapes, rows = (SHAPES, ROWS) if arguments.all else (LLM, LLM_ROWS)
        for threads, shape, count in product(dict.fromkeys(arguments.threads), shapes, rows):
            if arguments.again or not _known(shape, count, threads):
                torch.set_num_threads(threads)
                _measure(shape, count, threads, rival)
    fill_page()


def _load() -> list[dict[str, Any]]:
    file = RESULTS / f'{NAME}.json'
    return json.loads(file.read_text(encoding='utf-8')) if file.exists() else []


def _short(value: float) -> float:
    return float(f'{value:.4g}')


def _known(shape: str, rows: int, threads: int) -> bool:
    here = commit()
    return any(
        (row['shape'], row['m'], row['threads'], row['commit']) == (shape, rows, threads, here)
        for row in _load()
    )


def _measure(shape: str, rows: int, threads: int, other: ggml.Ggml | None) -> None:
    out, width = SHAPES[shape]
    packed = random_packed(out, width)
    dense = torch.randn(out, width, generator=torch.Generator().manual_seed(0))
    x = torch.randn(rows, width, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        rivals = _rivals(x, dense)
        if other and not dense.shape[1] % GGML_BLOCK:
            rivals |= {f'ggml {kind}': other.product(kind, x, dense) for kind in ggml.TYPES}
        kernels = _kernels(x, packed, all_of_them=shape in LLM)
        copy = {'copy': _plain_copy(x)}
        seconds = alternate(rivals | copy | kernels, threads=threads, budget_s=BUDGET_S)
    operations = 2.0 * rows * out * width
    found = []
    for name in sorted({key.split('/')[1] for key in kernels}):
        multiply, prepare = seconds[f'multiply/{name}'], seconds[f'prepare/{name}']
        found += [
            {
                'kernel': name, 'shape': shape, 'out': out, 'in': width, 'm': rows,
                'threads': threads, 'rival': rival, 'ms': _short(1e3 * multiply),
                'prologue_ms': _short(1e3 * prepare), 'copy_ms': _short(1e3 * seconds['copy']),
                'ratio': _short(seconds[rival] / multiply),
                'ratio_with_prologue': _short(seconds[rival] / (multiply + prepare)),
                'prologue_share': _short(prepare / multiply),
                'fraction_of_peak': _fraction(name, operations, packed, multiply, threads),
                **({'version': other.version} if other and rival.startswith('ggml') else {}),
            }
            for rival in rivals
            if name in DRAWN or not rival.startswith('ggml')
        ]  # fmt: skip
    merge_rows(NAME, found, KEY)
    best = max(found, key=lambda row: row['ratio_with_prologue'] * (row['rival'] == 'torch bf16'))
    print(
        f'{shape}, {rows} rows, {threads} threads: {best["kernel"]} '
        f'x{best["ratio_with_prologue"]:.2f} of torch bf16',
        flush=True,
    )


def _rivals(x: torch.Tensor, dense: torch.Tensor) -> dict[str, Callable[[], object]]:
    half, half_dense = x.bfloat16(), dense.bfloat16()
    whole, whole_dense = x.mul(30).to(torch.int8), dense.mul(30).to(torch.int8).T
    return {
        'torch fp32': lambda: functional.linear(x, dense),
        'torch bf16': lambda: functional.linear(half, half_dense),
        'torch int8': lambda: torch._int_mm(whole, whole_dense),  # noqa: SLF001
    }


def _plain_copy(x: torch.Tensor) -> Callable[[], object]:
    """Return the least that a prologue could do: read bfloat16 rows, write them as int8."""
    half, whole = x.bfloat16(), torch.empty_like(x, dtype=torch.int8)
    return lambda: whole.copy_(half)


def _kernels(
    x: torch.Tensor, packed: PackedWeight, *, all_of_them: bool
) -> dict[str, Callable[[], object]]:
    runs: dict[str, Callable[[], object]] = {}
    for name in KERNELS:
        kernel = load_kernel(name)
        wanted = name not in SLOW if all_of_them else name in DRAWN
        if not isinstance(kernel, CpuKernel) or not wanted:
            continue
        if name == 'avx512_lut' and x.shape[0] > FEW:
            continue
        given = x if name in FLOAT32 else x.bfloat16()
        if kernel.supports(packed, given):
            _add(runs, name, kernel, given, packed)
        if name == 'amx_bf16' and all_of_them and kernel.supports(packed, x):
            _add(runs, 'amx_split', kernel, x, packed)
    return runs


def _add(
    runs: dict[str, Callable[[], object]],
    name: str,
    kernel: CpuKernel,
    x: torch.Tensor,
    packed: PackedWeight,
) -> None:
    prepared = kernel.prepare(x, packed.layout)
    runs[f'multiply/{name}'] = lambda: kernel.multiply(prepared, packed, x.dtype)
    runs[f'prepare/{name}'] = lambda: kernel.prepare(x, packed.layout)


def _fraction(
    name: str, operations: float, packed: PackedWeight, seconds: float, threads: int
) -> float | None:
    """Return the share of the measured peak; for 1 row, of the memory's bandwidth."""
    if operations <= 2.0 * packed.out_features * packed.layout.in_features:
        return _short(packed.stored_bytes / seconds / _bandwidth())
    peak = _peak(name)
    planes = 3 if name == 'amx_split' else 1
    return _short(planes * operations / seconds / (peak * threads)) if peak else None


_peaks: dict[str, float] = {}


def _peak(name: str) -> float:
    """Return the operations per second of one thread, on registers alone."""
    library = native.library()
    assert library is not None
    if name not in _peaks:
        path, best = native.PATHS[name], 0.0
        for _ in range(5):
            start = time.thread_time()
            done = library.hb_peak(path, 200_000)
            best = max(best, done / max(time.thread_time() - start, 1e-9))
        _peaks[name] = best
    return _peaks[name]


def _bandwidth() -> float:
    """Return the bytes per second that one thread reads from memory."""
    if 'memory' not in _peaks:
        block = torch.ones(64 << 20, dtype=torch.float32)
        times = []
        for _ in range(3):
            start = time.thread_time()
            block.sum()
            times.append(time.thread_time() - start)
        _peaks['memory'] = 4 * block.numel() / min(times)
    return _peaks['memory']


def fill_page() -> None:
    """Write the tables and the figure of the documentation from the results file."""
    rows = _load()
    PAGE.write_text(fill(PAGE.read_text(encoding='utf-8'), tables(rows)), encoding='utf-8')
    if rows:
        _draw(rows)


def tables(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return the tables of ``doc/kernels.md``: one number of threads, the language model."""
    head = (
        'kernel', 'shape', 'rows', 'ms', 'prologue', 'plain copy', 'of torch fp32',
        'of torch bf16', 'of torch int8', 'of peak',
    )  # fmt: skip
    lines = []
    for first in rows:
        if first['rival'] != 'torch bf16' or not _in_tables(first):
            continue
        same = {
            row['rival']: row
            for row in rows
            if all(row[key] == first[key] for key in KEY if key != 'rival')
        }
        share, peak = first['prologue_share'], first['fraction_of_peak']
        lines.append((
            first['kernel'], f'{first["out"]} x {first["in"]}', str(first['m']),
            f'{first["ms"]:.2f}', f'{share:.0%}', f'{first["copy_ms"] / first["ms"]:.0%}',
            *(f'{same[r]["ratio_with_prologue"]:.2f}x' if r in same else 'not run'
              for r in ('torch fp32', 'torch bf16', 'torch int8')),
            'not known' if peak is None else f'{peak:.0%}',
        ))  # fmt: skip
    made = {'kernels': markdown(head, sorted(lines, key=lambda line: (line[1], int(line[2]))))}
    return made | {'ggml': _against_ggml(rows)}


def _in_tables(row: dict[str, Any]) -> bool:
    return row['threads'] == 1 and row['shape'] in LLM and row['m'] in LLM_ROWS


def _against_ggml(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table of our kernels, as each is chosen, against the formats of ggml."""
    names = [f'ggml {kind}' for kind in ggml.TYPES]
    found: dict[tuple[str, str, int], dict[str, float]] = {}
    for row in rows:
        if row['rival'] in names and _in_tables(row):
            place = (row['kernel'], f'{row["out"]} x {row["in"]}', row['m'])
            found.setdefault(place, {})[row['rival']] = row['ratio_with_prologue']
    lines = [
        (
            kernel,
            shape,
            str(m),
            *(f'{ratios[n]:.1f}x' if n in ratios else 'not run' for n in names),
        )
        for (kernel, shape, m), ratios in sorted(found.items(), key=lambda item: item[0][1:])
        if kernel in (GGML_FEW if m < FEW else GGML_MANY)
    ]
    return markdown(('kernel', 'shape', 'rows', *(f'of {n}' for n in names)), lines)


def _best(rows: Sequence[dict[str, Any]], kernels: Sequence[str]) -> dict[int, float]:
    """Return the ratio of the best of these kernels, by number of rows."""
    points: dict[int, float] = {}
    for row in rows:
        if row['kernel'] in kernels:
            points[row['m']] = max(points.get(row['m'], 0.0), row['ratio_with_prologue'])
    return dict(sorted(points.items()))


def _draw(rows: Sequence[dict[str, Any]]) -> None:
    chosen = [row for row in rows if row['rival'] == 'torch bf16' and row['threads'] == 1]
    figure = Figure(figsize=(12, 4.5))
    axes = figure.subplots(1, 2, sharey=True)
    for axis, kinds, title in (
        (axes[0], ('amx_bf16', 'avx512_lut'), 'exact'),
        (axes[1], ('amx_int8', 'avx512_vnni'), 'int8 activations'),
    ):
        for number, shape in enumerate(SHAPES):
            points = _best([row for row in chosen if row['shape'] == shape], kinds)
            if points:
                place = {'color': f'C{number % 10}', 'marker': MARKERS[number // 10]}
                axis.plot(list(points), list(points.values()), label=shape, **place)
        axis.axhline(1, color='grey', linewidth=1)
        axis.set(xscale='log', yscale='log', xlabel='rows', title=title)
        axis.set_xticks(ROWS, [str(rows) for rows in ROWS])
        axis.set_yticks(TICKS, [str(ratio) for ratio in TICKS])
        axis.minorticks_off()
    axes[0].set_ylabel('times as fast as torch bf16, prologue included')
    axes[1].legend(fontsize=8, loc='center left', bbox_to_anchor=(1, 0.5))
    figure.tight_layout()
    figure.savefig(FIGURE, dpi=110)


if __name__ == '__main__':
    main()
