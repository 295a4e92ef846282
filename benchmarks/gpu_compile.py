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
Compile every Triton kernel for every GPU architecture of the table, without a GPU.

    python -m benchmarks.gpu_compile

Needs ``triton`` (``requirements/gpu.txt``). Compares shared memory with what the architecture
has and looks for registers that spill. Writes ``benchmarks/results/gpu_compile.json`` and the
table in ``doc/gpu_kernels.md``.
"""

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
import json
from pathlib import Path
import re
import subprocess
import sys
from tempfile import NamedTemporaryFile
from typing import Any

from benchmarks.record import merge_rows, REPOSITORY, RESULTS
from benchmarks.tables import fill, markdown
from hbvla_ros.kernels.gpu_tiles import FULL, HALF, INT8, SHARED_BYTES, TILES

PAGE = REPOSITORY / 'doc' / 'gpu_kernels.md'
POINTER = {INT8: '*i8', HALF: '*bf16', FULL: '*fp32'}
_PRODUCT = {'scales': '*fp32', 'words': '*i32', 'levels': '*i8', 'row_scale': '*fp32'}
_SIZES = ('rows', 'outputs', 'stored', 'width', 'border')
_TABLES = {'first': '*i32', 'second': '*i32', 'near': '*fp32', 'far': '*fp32', 'spread': '*i8'}
# Multiples of 16, as Triton finds them at run time; rows of x may be any number.
_ALIGNED = frozenset({'outputs', 'stored', 'width', 'border', 'row_stride', 'in_features'})


def main() -> None:
    """Compile all and record."""
    if find_spec('triton') is None:
        sys.exit('triton is not installed; see requirements/gpu.txt')
    rows = []
    for architecture in TILES:
        for row in kernels_for(architecture):
            print(json.dumps(row), flush=True)
            rows.append(row)
    merge_rows('gpu_compile', rows, ('architecture', 'kernel', 'variant'))
    fill_page()


def fill_page() -> None:
    """Write the table of the page from the results file."""
    rows = json.loads((RESULTS / 'gpu_compile.json').read_text(encoding='utf-8'))
    PAGE.write_text(fill(PAGE.read_text(encoding='utf-8'), {'gpu_compile': table(rows)}), 'utf-8')


def table(rows: list[Mapping[str, Any]]) -> str:
    """Return the table of the documentation: the product's tiles for many rows of x."""
    cells = [
        (
            f'sm_{row["architecture"]}',
            row['variant'],
            row['tile'],
            f'{row["shared_bytes"]:,} of {row["shared_limit"]:,}',
            str(row['registers']),
            str(row['spilled_bytes']),
            row['instruction'],
        )
        for row in rows
        if row['kernel'] == 'product'
    ]
    head = ('GPU', 'variant', 'rows × outputs × depth, warps, stages', 'shared memory, bytes',
            'registers', 'spilled bytes', 'tensor instruction')  # fmt: skip
    return markdown(head, cells)


def kernels_for(architecture: int) -> Iterator[dict[str, Any]]:
    """
    Compile what runs on one architecture.

    :param architecture: compute capability times ten
    :return: a row per kernel variant
    """
    from hbvla_ros.kernels.triton_launch import meta
    from hbvla_ros.kernels.triton_product import finish_kernel, product_kernel
    from hbvla_ros.kernels.triton_prologue import prologue_kernel

    for (kind, size), tile in TILES[architecture].items():
        # Few rows of x: several programs share a tile and write float32.
        split = 4 if size == 0 else 1
        out = '*fp32' if split > 1 or kind == FULL else '*bf16'
        signature = {'z': POINTER[kind], **_PRODUCT, 'out': out, **dict.fromkeys(_SIZES, 'i32')}
        yield {
            'kernel': 'product',
            'variant': f'{kind}, {("up to 16", "up to 64", "more")[size]} rows',
            'tile': f'{tile.rows} × {tile.outputs} × {tile.depth}, {tile.warps}, {tile.stages}',
            **compile_one(product_kernel, signature, meta(tile, split, kind), architecture),
        }
    for integer in (False, True):
        for both in (False, True):
            signature = {
                'x': '*bf16', 'norm': '*bf16', **_TABLES, 'chunks': '*i32',
                'z': '*i8' if integer else '*bf16', 'scales': '*fp32',
                **dict.fromkeys(('rows', 'in_features', 'row_stride', 'width'), 'i32'),
                'eps': 'fp32',
            }  # fmt: skip
            constants = {'tokens': 4, 'chunk': 512, 'integer': integer}
            constants |= {'has_norm': both, 'has_spread': both}
            yield {
                'kernel': 'prologue',
                'variant': f'{INT8 if integer else HALF}{", norm and Hadamard" * both}',
                **compile_one(prologue_kernel, signature, constants, architecture),
            }
    signature = {'partial': '*fp32', 'out': '*bf16', 'count': 'i32'}
    done = compile_one(finish_kernel, signature, {'split': 8, 'block': 1024}, architecture)
    yield {'kernel': 'finish', 'variant': 'split 8', **done}


def compile_one(
    kernel: Any, signature: dict[str, str], constants: dict[str, int], architecture: int
) -> dict[str, Any]:
    """Compile one kernel; return what it takes of the processor."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    constants = dict(constants)
    options = {n: constants.pop(n) for n in ('num_warps', 'num_stages') if n in constants}
    names = [*signature, *constants]
    source = ASTSource(
        kernel,
        signature | dict.fromkeys(constants, 'constexpr'),
        constexprs={(names.index(name),): value for name, value in constants.items()},
        attrs={
            (number,): [['tt.divisibility', 16]]
            for number, name in enumerate(names)
            if name in _ALIGNED or signature.get(name, '').startswith('*')
        },
    )
    made = triton.compile(source, target=GPUTarget('cuda', architecture, 32), options=options)
    registers, spilled = _usage(made.asm['cubin'])
    ptx = made.asm['ptx']
    found = [name for name in ('wgmma.mma_async', 'mma.sync') if name in ptx]
    return {
        'architecture': architecture,
        'shared_bytes': made.metadata.shared,
        'shared_limit': SHARED_BYTES[architecture],
        'registers': registers,
        'spilled_bytes': spilled,
        'instruction': found[0] if found else 'none',
        'triton': triton.__version__,
    }


def _usage(cubin: bytes) -> tuple[int, int]:
    import triton

    tool = Path(triton.__file__).parent / 'backends' / 'nvidia' / 'bin' / 'cuobjdump'
    with NamedTemporaryFile(suffix='.cubin') as file:
        file.write(cubin)
        file.flush()
        done = subprocess.run(
            [tool, '-res-usage', file.name], capture_output=True, text=True, check=True
        )
    found = re.search(r'REG:(\d+) STACK:(\d+)', done.stdout + done.stderr)
    assert found, done.stdout
    return int(found[1]), int(found[2])


if __name__ == '__main__':
    main()
