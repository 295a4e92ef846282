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

"""What the benchmarks of the kernels share: shapes, random weights, alternating timing."""

from collections.abc import Callable, Mapping
from statistics import median
import time

from hbvla_ros.binarize.layout import ColumnLayout
from hbvla_ros.kernels.packing import array_shapes, PackedWeight
import torch

# Linears of OpenVLA-OFT: [out, in], of the language model, the two vision towers, the projector.
SHAPES = {
    'llm qkvo': (4096, 4096), 'llm gate, up': (11008, 4096), 'llm down': (4096, 11008),
    'dino qkv': (3072, 1024), 'dino proj': (1024, 1024), 'dino fc1': (4096, 1024),
    'dino fc2': (1024, 4096), 'siglip qkv': (3456, 1152), 'siglip proj': (1152, 1152),
    'siglip fc1': (4304, 1152), 'siglip fc2': (1152, 4304), 'projector fc1': (8704, 2176),
    'projector fc2': (4096, 8704),
}  # fmt: skip
ROWS = (1, 16, 64, 256, 605, 1143)


def random_packed(
    out: int, width: int, *, layout: ColumnLayout | None = None, seed: int = 0
) -> PackedWeight:
    """Return random packed weights with one Haar level and a permutation."""
    g = torch.Generator().manual_seed(seed)
    layout = layout or ColumnLayout(width, 0, 'haar', 'none', torch.randperm(width, generator=g))
    shapes = array_shapes(out, layout)
    return PackedWeight(
        layout,
        out,
        torch.randint(-(2**63), 2**63 - 1, shapes['bits'], generator=g),
        torch.randint(-127, 128, shapes['levels'], generator=g).to(torch.int8),
        torch.rand(shapes['row_scale'], generator=g) * 1e-3,
    )


def alternate(
    runs: Mapping[str, Callable[[], object]], *, threads: int, budget_s: float
) -> dict[str, float]:
    """
    Time runs in turn, so that all see the same machine.

    :param runs: by name; each is called once before
    :param threads: with one, the processor's time of this thread counts, which other programs
        on the machine do not stretch; with more, wall time
    :param budget_s: wall time for all rounds; at least three are made
    :return: median seconds by name
    """
    clock = time.thread_time if threads == 1 else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    start = time.perf_counter()
    while len(next(iter(seconds.values()))) < 3 or (
        time.perf_counter() - start < budget_s and len(next(iter(seconds.values()))) < 200
    ):
        for name, run in runs.items():
            before = clock()
            run()
            seconds[name].append(clock() - before)
    return {name: median(found) for name, found in seconds.items()}
