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
Put the tables of ``quantization.json`` and ``quantize_speed.json`` into ``doc/results.md``.

    .venv/bin/python -m benchmarks.quantization.tables

Everything between ``<!-- table NAME -->`` and ``<!-- end -->`` is replaced.
"""

from collections.abc import Sequence
import json
from typing import Any

from benchmarks import tables
from benchmarks.quantization.smollm import MODEL, RUNS
from benchmarks.record import REPOSITORY, RESULTS
from benchmarks.tables import markdown

PAGE = REPOSITORY / 'doc' / 'results.md'
_BITS = (
    ('bits_sign', '{:.3f}'),
    ('bits_stored', '{:.3f}'),
    ('bits_stored_at_oft', '{:.3f}'),
)
_LANGUAGE = (
    *_BITS,
    ('output_error', '{:.4f}'),
    ('policy_error', '{:.4f}'),
    ('perplexity', '{:.4g}'),
    ('kl', '{:.4f}'),
    ('top1', '{:.3f}'),
    ('seconds', '{:.0f}'),
)
TABLES: dict[str, tuple[tuple[str, str], tuple[tuple[str, str], ...]]] = {
    'two layers': ((MODEL, 'two layers'), _LANGUAGE),
    'all layers': ((MODEL, 'all'), _LANGUAGE),
    'encoder': (
        ('all-MiniLM-L6-v2', 'all'),
        (*_BITS, ('output_error', '{:.4f}'), ('cosine', '{:.4f}'), ('seconds', '{:.0f}')),
    ),
    'distractor': (
        ('distractor fixture', '512x512'),
        (
            *_BITS,
            ('policy_error', '{:.4f}'),
            ('output_error', '{:.4f}'),
            ('policy_cut', '{:.1%}'),
            ('policy_cut_standard_error', '{:.1%}'),
        ),
    ),
}


_ORDER = {run['label']: place for place, run in enumerate(RUNS)}


def _in_order(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows as their benchmark lists them, whenever each was measured."""
    return sorted(
        rows, key=lambda row: (_ORDER.get(row['label'], -1), row.get('calibration_tokens') or 0)
    )


def table(rows: Sequence[dict[str, Any]], columns: Sequence[tuple[str, str]]) -> str:
    """Return rows as a Markdown table; what a row lacks stays empty."""
    tokens = len({row.get('calibration_tokens') for row in rows}) > 1
    head = ['row', *(['tokens'] if tokens else []), *(name for name, _ in columns)]
    body = []
    for row in rows:
        cells = [row['label'], *([str(row['calibration_tokens'])] if tokens else [])]
        body.append([*cells, *(f.format(row[name]) if name in row else '' for name, f in columns)])
    return markdown(head, body)


def speed_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows of ``quantize_speed.json`` as a Markdown table."""
    body = [
        [
            ' x '.join(map(str, row['shape'])),
            str(row['threads']),
            f'{row["seconds"]:.1f}',
            f'{row["extra_matrices"]:.1f}',
        ]
        for row in rows
    ]
    return markdown(['matrix', 'threads', 'seconds', 'memory'], body)


def fill(page: str, rows: Sequence[dict[str, Any]], speed: Sequence[dict[str, Any]]) -> str:
    """
    Return the page with its tables made anew.

    :param page: text with the markers
    :param rows: of ``quantization.json``
    :param speed: rows of ``quantize_speed.json``
    """
    made = {
        name: table(_in_order([r for r in rows if (r['model'], r['scope']) == what]), columns)
        for name, (what, columns) in TABLES.items()
    }
    return tables.fill(page, {**made, 'speed': speed_table(speed)})


def results() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the rows of both results files."""
    texts = [
        (RESULTS / f'{name}.json').read_text(encoding='utf-8')
        for name in ('quantization', 'quantize_speed')
    ]
    return json.loads(texts[0]), json.loads(texts[1])['rows']


def main() -> None:
    """Write the page."""
    rows, speed = results()
    PAGE.write_text(fill(PAGE.read_text(encoding='utf-8'), rows, speed), encoding='utf-8')
    print(f'{len(rows)} rows in {PAGE}')


if __name__ == '__main__':
    main()
