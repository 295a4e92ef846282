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
How long and how much memory one large matrix takes.

    .venv/bin/python -m benchmarks.quantization.speed

``hbvla_plus`` with four sweeps on matrices of Llama-2-7B's shapes with random weights. Memory is
what the process holds beyond the weight and its Hessians, at its peak, in multiples of the weight
in float32. Writes ``benchmarks/results/quantize_speed.json``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
import threading
import time
from typing import Any

from benchmarks.record import write
from hbvla_ros.binarize.method import FamilyStats, make_config, METHODS
import torch

SHAPES = ((4096, 4096), (11008, 4096), (4096, 11008))
SETTINGS = {'sweeps': 4}


class Peak:
    """The most anonymous memory that was seen, in bytes."""

    def __init__(self) -> None:
        """Start at what is held now."""
        self.before = self.most = anonymous_bytes()


def anonymous_bytes() -> int:
    """Return the memory of this process that no file backs."""
    status = Path('/proc/self/status').read_text(encoding='ascii')
    line = next(line for line in status.splitlines() if line.startswith('RssAnon'))
    return int(line.split()[1]) << 10


@contextmanager
def watched() -> Iterator[Peak]:
    """Sample the memory while something runs."""
    peak, done = Peak(), threading.Event()

    def sample() -> None:
        while not done.wait(0.01):
            peak.most = max(peak.most, anonymous_bytes())

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def measure(rows: int, columns: int) -> dict[str, Any]:
    """Return time and memory of one matrix."""
    g = torch.Generator().manual_seed(0)
    weight = torch.randn(rows, columns, generator=g) * 0.02
    x = torch.randn(columns + 2048, columns, generator=g)
    hessian = x.T @ x * (2 / len(x))
    del x
    stats = FamilyStats(hessian, hessian)
    method = METHODS['hbvla_plus']
    config = make_config(method, SETTINGS)
    with watched() as peak:
        began = time.perf_counter()
        method.quantize([weight], stats, config)
        seconds = time.perf_counter() - began
    size = weight.numel() * weight.element_size()
    return {
        'shape': [rows, columns],
        'threads': torch.get_num_threads(),
        'seconds': seconds,
        'extra_mib': (peak.most - peak.before) / (1 << 20),
        'extra_matrices': (peak.most - peak.before) / size,
    }


def main() -> None:
    """Measure, print and record."""
    threads = torch.get_num_threads()
    rows = []
    for count in sorted({1, threads}):
        torch.set_num_threads(count)
        for shape in SHAPES:
            rows.append(measure(*shape))
            print(rows[-1], flush=True)
    write('quantize_speed', {'method': 'hbvla_plus', 'settings': SETTINGS, 'rows': rows})


if __name__ == '__main__':
    main()
