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

"""Triton kernels without a GPU: results in the interpreter, compiled for every architecture."""

from importlib.util import find_spec
import os
from pathlib import Path
import subprocess
import sys

from hbvla_ros.binarize.layout import ColumnLayout
from hbvla_ros.binarize.weight import BinaryWeight
from hbvla_ros.kernels import triton_linear
from hbvla_ros.kernels.gpu_tiles import choose_split, choose_tile, KINDS, SHARED_BYTES, TILES
from hbvla_ros.kernels.packing import pack
import pytest
import torch

needs_triton = pytest.mark.skipif(
    find_spec('triton') is None, reason='triton is not installed (requirements/gpu.txt)'
)
REPOSITORY = Path(__file__).resolve().parents[2]


@needs_triton
def test_every_promise_holds_in_the_interpreter():
    file = Path(__file__).with_name('interpreted_triton.py')
    command = [sys.executable, '-m', 'pytest', '-q', '-x', '-p', 'no:cacheprovider', str(file)]
    environment = {**os.environ, 'TRITON_INTERPRET': '1'}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


@needs_triton
@pytest.mark.parametrize('architecture', TILES)
def test_every_kernel_compiles_within_the_shared_memory_and_spills_nothing(architecture):
    from benchmarks.gpu_compile import kernels_for

    for row in kernels_for(architecture):
        place = f'{row["kernel"]} {row["variant"]}'
        assert row['shared_bytes'] <= SHARED_BYTES[architecture], place
        assert row['spilled_bytes'] == 0, place
        tensor_cores = row['kernel'] == 'product' and not row['variant'].startswith('full')
        assert (row['instruction'] != 'none') == tensor_cores, place


@pytest.mark.parametrize('kernel', [triton_linear.EXACT, triton_linear.INT8])
def test_tensors_on_the_cpu_are_declined_without_a_word(kernel, caplog):
    weight = BinaryWeight(
        ColumnLayout(128),
        torch.ones(16, 128, dtype=torch.bool),
        torch.ones(16, 1, 2, dtype=torch.int8),
        torch.ones(16, 1),
    )
    assert not kernel.supports(pack(weight), torch.ones(2, 128))
    assert not caplog.records


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('capability', [75, 80, 86, 87, 89, 90, 100, 120])
def test_every_device_and_number_of_rows_has_a_tile(kind, capability):
    rows = [choose_tile(capability, kind, rows).rows for rows in (1, 16, 17, 64, 65, 1143)]
    assert rows == sorted(rows)
    assert choose_tile(capability, kind, 1) in TILES[max(80, min(90, capability))].values()


def test_a_tile_is_shared_only_as_long_as_processors_idle():
    # 64 tiles on 132 processors: 8 programs each would be 512, 4 are enough for two each
    assert choose_split(tiles=64, processors=132, steps=32) == 8
    assert choose_split(tiles=86, processors=132, steps=32) == 4
    assert choose_split(tiles=400, processors=132, steps=32) == 1
    assert choose_split(tiles=1, processors=132, steps=3) == 2  # no program without columns


def test_the_benchmark_says_that_there_is_no_gpu_and_writes_nothing():
    if torch.cuda.is_available():
        pytest.skip('there is a GPU')
    file = REPOSITORY / 'benchmarks' / 'results' / 'gpu_kernels.json'
    before = file.read_bytes() if file.exists() else b''
    command = [sys.executable, '-m', 'benchmarks.gpu_kernels']
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 1
    assert 'no CUDA device' in done.stderr
    assert (file.read_bytes() if file.exists() else b'') == before


@pytest.mark.gpu
@pytest.mark.parametrize('rows', [1, 17, 605])
def test_on_a_gpu_both_kernels_are_right(rows):
    from benchmarks.gpu_kernels import BOUNDS, check, make_weight

    packed = make_weight(1024, 1152)
    x = torch.randn(rows, 1152, device='cuda').to(torch.bfloat16)
    calls = {
        'triton': lambda: triton_linear.EXACT.linear(x, packed),
        'triton_int8': lambda: triton_linear.INT8.linear(x, packed),
    }
    assert set(check(calls, x, packed)) == set(BOUNDS)


def test_the_table_of_the_page_says_what_was_measured_and_what_not():
    from benchmarks.gpu_kernels import table

    times = {'cublas_bf16': {'p50': 20.0}, 'triton': {'p50': 25.0}, 'triton_int8': {'p50': 10.0}}
    row = {
        'gpu': 'H100', 'out': 4096, 'columns': 4096, 'm': 605, 'microseconds': times,
        'ratio_to_cublas': {'triton': 0.8, 'triton_int8': 2.0},
    }  # fmt: skip
    expected = '| H100 | 4096 × 4096 | 605 | 20 | 25 (0.80) | 10 (2.00) | not run |'
    assert table([row]).splitlines()[-1] == expected
