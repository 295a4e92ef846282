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
Time the Triton kernels on a GPU against cuBLAS, at the shapes of OpenVLA-OFT.

    python -m benchmarks.gpu_kernels [--repetitions 50]

Every result is compared with the float64 product first; a wrong kernel stops the run. Then the
rivals take turns, each call timed by events between cleared second-level caches: cuBLAS in
bfloat16 (``torch.matmul``), and gemlite's one-bit kernel where that package is installed. Writes
``benchmarks/results/gpu_kernels.json`` and the table in ``doc/gpu_kernels.md``. Without a CUDA
device it says so, writes nothing and fails.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
import json
import subprocess
import sys
from typing import Any

from benchmarks.record import merge_rows, REPOSITORY, RESULTS
from benchmarks.tables import fill, markdown
from hbvla_ros.binarize.layout import ColumnLayout
from hbvla_ros.binarize.weight import BinaryWeight
from hbvla_ros.kernels import gpu, int8_reference, triton_linear
from hbvla_ros.kernels.packing import pack, PackedWeight, unpack
import numpy as np
import torch

PAGE = REPOSITORY / 'doc' / 'gpu_kernels.md'
SHAPES = ((4096, 4096), (11008, 4096), (4096, 11008), (3456, 1152), (4304, 1152), (1024, 4096))
ROWS = (1, 16, 64, 256, 605, 1143)
BOUNDS = {'triton': 1e-2, 'triton_int8': 1e-2}  # of the largest output; bfloat16 outputs
_WARM_UP = 10
_FLUSHED_BYTES = 256 << 20  # larger than any second-level cache
_GROUP = 128
Call = Callable[[], torch.Tensor]


def main() -> None:
    """Check, measure and record every shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--repetitions', type=int, default=50)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit('no CUDA device: the Triton kernels were not measured, nothing was written')
    if not gpu.has_triton():
        sys.exit('triton is not installed (requirements/gpu.txt): nothing was written')
    for out, columns in SHAPES:
        packed = make_weight(out, columns)
        dense = gpu_dense(packed)
        for rows in ROWS:
            row = measure(packed, dense, rows, arguments.repetitions)
            print(json.dumps(row), flush=True)
            merge_rows('gpu_kernels', [row], ('gpu', 'out', 'columns', 'm'))
    fill_page()


def make_weight(out: int, columns: int) -> PackedWeight:
    """Return random weights with 128 salient columns, in the form for GPUs."""
    g = torch.Generator().manual_seed(out + columns)
    order = torch.randperm(columns, generator=g)
    layout = ColumnLayout(columns, _GROUP, 'haar', 'haar', order)
    groups = layout.virtual_width // _GROUP
    magnitude = torch.randint(40, 128, (out, groups, 2), generator=g)
    weight = BinaryWeight(
        layout,
        torch.rand(out, layout.virtual_width, generator=g) < 0.5,
        (magnitude * torch.tensor([-1, 1])).to(torch.int8),
        (0.8 + 0.4 * torch.rand(out, layout.segments, generator=g)) / (84 * columns**0.5),
    )
    return gpu.place(pack(weight), torch.device('cuda'))


def gpu_dense(packed: PackedWeight) -> torch.Tensor:
    """Return the same weights as cuBLAS reads them: bfloat16 ``[out, columns]``."""
    return unpack(packed).dequantize().to(torch.bfloat16)


def measure(
    packed: PackedWeight, dense: torch.Tensor, rows: int, repetitions: int
) -> dict[str, Any]:
    """Check and time one shape."""
    g = torch.Generator(device='cuda').manual_seed(rows)
    x = torch.randn(rows, dense.shape[1], device='cuda', generator=g).to(torch.bfloat16)
    calls: dict[str, Call] = {
        'triton': lambda: triton_linear.EXACT.linear(x, packed),
        'triton_int8': lambda: triton_linear.INT8.linear(x, packed),
        'cublas_bf16': lambda: torch.matmul(x, dense.T),
    }
    errors = check(calls, x, packed)
    rival = _gemlite(dense)
    if rival is not None:
        calls['gemlite'] = lambda: rival(x)
    times = timed(calls, repetitions)
    medians = {name: float(np.median(values)) for name, values in times.items()}
    return {
        'gpu': torch.cuda.get_device_name(),
        'out': dense.shape[0],
        'columns': dense.shape[1],
        'm': rows,
        'errors': errors,
        'microseconds': {name: _percentiles(values) for name, values in times.items()},
        'ratio_to_cublas': {
            name: round(medians['cublas_bf16'] / value, 2) for name, value in medians.items()
        },
        'protocol': {
            'warm_up': _WARM_UP,
            'repetitions': repetitions,
            'flushed_bytes': _FLUSHED_BYTES,
            'prologue': 'included',
            'launch': 'CUDA graph per call',
            **_clocks(),
        },
        'cuda': torch.version.cuda,
    }


def check(calls: Mapping[str, Call], x: torch.Tensor, packed: PackedWeight) -> dict[str, float]:
    """
    Compare each kernel with what it should give.

    :return: largest difference, of the largest output
    :raises SystemExit: if one is wrong
    """
    exact = x.double() @ unpack(packed).dequantize().double().T
    expected = {'triton': exact, 'triton_int8': int8_reference.linear(x, packed).double()}
    errors = {}
    for name, right in expected.items():
        wrong = (calls[name]().double() - right).abs().max() / right.abs().max()
        errors[name] = round(float(wrong), 6)
        if not errors[name] <= BOUNDS[name]:
            sys.exit(f'{name} is wrong at {tuple(x.shape)} x {tuple(exact.shape)}: {wrong:.2e}')
    return errors


def timed(calls: Mapping[str, Call], repetitions: int) -> dict[str, list[float]]:
    """
    Let the calls take turns.

    :return: microseconds of each call, the second-level cache cleared before every one
    """
    graphs = {name: _graph(call) for name, call in calls.items()}
    flush = torch.empty(_FLUSHED_BYTES, dtype=torch.uint8, device='cuda')
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(_WARM_UP + repetitions):
        for name, graph in graphs.items():
            flush.zero_()
            start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            graph.replay()
            stop.record()
            torch.cuda.synchronize()
            if number >= _WARM_UP:
                times[name].append(1000 * start.elapsed_time(stop))
    return times


def _graph(call: Call) -> torch.cuda.CUDAGraph:
    """Record a call, so that the time of launching it from Python does not count."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):  # compiles, and fills the caches that a graph may not fill
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph


def _gemlite(dense: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """
    Return gemlite's product with one-bit weights of this shape, where it is installed.

    Its weights are random: only its time is wanted, and it has no format for ours.
    """
    if find_spec('gemlite') is None:
        return None
    from gemlite.helper import A16Wn

    out, columns = dense.shape
    bits = torch.randint(0, 2, (out, columns), dtype=torch.uint8, device='cuda')
    scales = torch.rand(out * columns // _GROUP, 1, dtype=torch.bfloat16, device='cuda')
    zeros = torch.full_like(scales, 0.5)
    layer = A16Wn(device='cuda:0').from_weights(bits, scales, zeros, 1, _GROUP)
    return layer.forward  # type: ignore[no-any-return]


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    found = np.percentile(values, (50, 90, 99))
    return dict(zip(('p50', 'p90', 'p99'), (round(float(v), 2) for v in found), strict=True))


def _clocks() -> dict[str, str]:
    query = '--query-gpu=clocks.sm,clocks.mem,clocks.max.sm,power.limit,driver_version'
    done = subprocess.run(
        ['nvidia-smi', query, '--format=csv,noheader'], capture_output=True, text=True, check=False
    )
    return {'clocks': done.stdout.strip() or 'nvidia-smi did not say'}


def fill_page() -> None:
    """Write the table of the page from the results file."""
    rows = json.loads((RESULTS / 'gpu_kernels.json').read_text(encoding='utf-8'))
    PAGE.write_text(fill(PAGE.read_text(encoding='utf-8'), {'gpu_kernels': table(rows)}), 'utf-8')


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of the documentation: medians, and how much faster than cuBLAS."""
    names = ('triton', 'triton_int8', 'gemlite')
    head = ('GPU', 'out × columns', 'M', 'cuBLAS bf16, µs', *(f'{n}, µs (faster)' for n in names))
    return markdown(head, [_cells(row, names) for row in rows])


def _cells(row: Mapping[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    def cell(name: str) -> str:
        if name not in row['microseconds']:
            return 'not run'
        return f'{row["microseconds"][name]["p50"]:.0f} ({row["ratio_to_cublas"][name]:.2f})'

    shape = f'{row["out"]} × {row["columns"]}'
    cublas = f'{row["microseconds"]["cublas_bf16"]["p50"]:.0f}'
    return (row['gpu'], shape, str(row['m']), cublas, *map(cell, names))


if __name__ == '__main__':
    main()
