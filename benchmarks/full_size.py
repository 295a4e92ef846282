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
Run a packed OpenVLA-OFT of the published size on this machine: time, memory, and where both go.

    python -m benchmarks.full_size [--kernels auto amx_int8 ...] [--threads 2] [--layers 32]

Streams an artifact with random weights to disk (about 1.4 GB; ``--keep FOLDER`` keeps it), loads
it and answers LIBERO queries (605 tokens, 2 pictures). Beside each kernel runs torch in bfloat16.
Writes ``benchmarks/results/full_size.json`` and the tables of ``doc/full_size.md``.
"""

import argparse
from collections.abc import Mapping, Sequence
import json
import os
from pathlib import Path
import subprocess
import sys
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import full_size_stages
from benchmarks.record import merge_rows, REPOSITORY, RESULTS
from benchmarks.tables import fill, markdown
from hbvla_ros.artifact.store import WEIGHTS

PAGE, README = REPOSITORY / 'doc' / 'full_size.md', REPOSITORY / 'README.md'
STAGES = ('write', 'packed', 'dense')
AUTO = 'auto'
_KEY = ('kernel', 'layers', 'threads', 'dtype')


def main() -> None:
    """Run every kernel, or one stage in this process."""
    arguments = build_parser().parse_args()
    if arguments.stage:
        print(json.dumps(getattr(full_size_stages, arguments.stage)(arguments)))
        return
    with TemporaryDirectory(prefix='full-size-') as name:
        arguments.keep = arguments.keep or Path(name) / 'artifact'
        written = None
        if not arguments.keep.exists():
            written = _stage('write', arguments, AUTO)
            print(json.dumps(written), flush=True)
        for kernel in arguments.kernels:
            _record(arguments, kernel, written)


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--kernels', nargs='+', default=[AUTO], help='as HBVLA_KERNEL, or auto')
    parser.add_argument('--layers', type=int, default=32, help='of the language model')
    parser.add_argument('--threads', type=int, default=0, help='0: as many as torch likes')
    parser.add_argument('--queries', type=int, default=10)
    parser.add_argument('--dtype', default='bfloat16', choices=('bfloat16', 'float32'))
    parser.add_argument('--keep', type=Path, help='folder of the artifact; made if it is missing')
    parser.add_argument('--stage', choices=STAGES, help=argparse.SUPPRESS)
    return parser


def _record(arguments: argparse.Namespace, kernel: str, written: Mapping[str, Any] | None) -> None:
    dense = _stage('dense', arguments, AUTO)
    print(json.dumps({'dense': dense}), flush=True)
    packed = _stage('packed', arguments, kernel)
    row = {
        'kernel': kernel,
        'layers': arguments.layers,
        'dtype': arguments.dtype,
        'tokens': full_size_stages.TOKENS,
        'artifact_mib': (arguments.keep / WEIGHTS).stat().st_size >> 20,
        **packed,
        'ratio_to_bf16': round(dense['seconds_p50'] / packed['seconds_p50'], 2),
        'cpu_ratio_to_bf16': round(dense['cpu_seconds_p50'] / packed['cpu_seconds_p50'], 2),
        'bf16': dense,
        'load_average': round(os.getloadavg()[0], 1),
    }
    if written:
        row['written'] = dict(written)
    print(json.dumps(row), flush=True)
    merge_rows('full_size', [row], _KEY)
    fill_page()


def _stage(stage: str, arguments: argparse.Namespace, kernel: str) -> dict[str, Any]:
    command = [
        sys.executable, '-m', 'benchmarks.full_size', '--stage', stage,
        '--keep', str(arguments.keep), '--layers', str(arguments.layers),
        '--threads', str(arguments.threads), '--queries', str(arguments.queries),
        '--dtype', arguments.dtype,
    ]  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if k != 'HBVLA_KERNEL'}
    if kernel != AUTO:
        environment['HBVLA_KERNEL'] = kernel
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def fill_page() -> None:
    """Write the tables of the page from the results file."""
    rows = json.loads((RESULTS / 'full_size.json').read_text(encoding='utf-8'))
    for page, made in ((PAGE, tables(rows)), (README, {'speed': short_table(rows)})):
        page.write_text(fill(page.read_text(encoding='utf-8'), made), encoding='utf-8')


def tables(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the tables of ``doc/full_size.md``."""
    return {'full_size': table(rows), 'full_size_profile': profile_table(rows)}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of times and memory."""
    head = (
        'kernel', 'layers', 'threads', 'load, s (processor s)', 'query p50, s', 'p90, s',
        'peak memory, MiB', 'torch bf16, s', 'faster by', 'in processor time', 'load average',
    )  # fmt: skip
    cells = [
        (
            _name(row),
            str(row['layers']),
            str(row['threads']),
            f'{row["load_seconds"]:.1f} ({row["load_cpu_seconds"]:.1f})',
            f'{row["seconds_p50"]:.2f}',
            f'{row["seconds_p90"]:.2f}',
            f'{row["peak_rss_mib"]}',
            f'{row["bf16"]["seconds_p50"]:.2f}',
            f'{row["ratio_to_bf16"]:.2f}',
            f'{row["cpu_ratio_to_bf16"]:.2f}',
            f'{row["load_average"]}',
        )
        for row in rows
    ]
    return markdown(head, cells)


def short_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return what a newcomer wants to know of them."""
    head = ('policy', 'weights, MiB', 'peak memory, MiB', 'seconds per query')
    dense = [row['bf16']['seconds_p50'] for row in rows]
    cells = [
        (
            f'packed, `{_name(row)}`',
            f'{row["artifact_mib"]}',
            f'{row["peak_rss_mib"]}',
            f'{row["seconds_p50"]:.2f}',
        )
        for row in rows
    ]
    whole = f'{min(dense):.2f} to {max(dense):.2f}'
    weights = f'{rows[0]["bf16"]["weights_mib"]}'
    return markdown(head, [*cells, ('torch, bfloat16', weights, 'not measured', whole)])


def profile_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return where the time of one query goes, in seconds."""
    parts = list(dict.fromkeys(part for row in rows for part in row['profile']))
    head = ('part', *(f'{_name(row)}, {row["layers"]} layers' for row in rows))
    cells = [(part, *(f'{row["profile"].get(part, 0.0):.2f}' for row in rows)) for part in parts]
    return markdown(head, cells)


def _name(row: Mapping[str, Any]) -> str:
    runs_on = row['runs_on']
    return runs_on if row['kernel'] in {AUTO, runs_on} else f'{row["kernel"]}: {runs_on}'


if __name__ == '__main__':
    main()
