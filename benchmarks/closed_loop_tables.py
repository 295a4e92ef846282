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
Put the tables of ``closed_loop.json`` and ``ros_closed_loop.json`` into the documentation.

    .venv/bin/python -m benchmarks.closed_loop_tables

Writes the tables of ``doc/closed_loop.md`` and those of ``README.md``.
"""

from collections.abc import Callable, Sequence
import json
from pathlib import Path
from typing import Any

from benchmarks.record import REPOSITORY, RESULTS
from benchmarks.tables import fill, markdown

PAGE, README = REPOSITORY / 'doc' / 'closed_loop.md', REPOSITORY / 'README.md'
TASKS = ('aloha_pick', 'aloha_handover', 'aloha_stack')
Row = dict[str, Any]
KEPT = (0.92, 0.97)


def percent(value: float | None) -> str:
    """Return a share as per cent, empty for none."""
    return '' if value is None else f'{100 * value:.1f}'


def interval(row: Row) -> str:
    """Return the interval of a success rate in per cent."""
    return f'{percent(row["ci_low"])} to {percent(row["ci_high"])}'


def number(row: Row, name: str, form: str) -> str:
    """Return a value, empty for none."""
    return '' if row.get(name) is None else form.format(row[name])


def bits(row: Row) -> list[str]:
    """Return the three bit counts."""
    names = ('bits_sign', 'bits_stored', 'bits_stored_at_oft')
    return [number(row, name, '{:.3f}') for name in names]


_BITS = ['sign bits', 'stored bits', 'stored at OFT widths']
_RATE = ['success, %', '95 % interval', 'kept, %']


def rate(row: Row) -> list[str]:
    """Return success, interval and retention."""
    return [percent(row['success']), interval(row), percent(row['retention'])]


def methods(rows: Sequence[Row]) -> str:
    """Return one table of all methods on all tasks."""
    head = ['task', 'policy', 'n', *_RATE, *_BITS, 'action error', 'jerk ratio', 'gripper flips']
    return markdown(
        head,
        [
            [
                row['task'], f'`{row["label"]}`', str(row['episodes']), *rate(row), *bits(row),
                number(row, 'action_mae', '{:.4f}'), number(row, 'jerk_ratio', '{:.2f}'),
                number(row, 'gripper_flips', '{:.2f}'),
            ]
            for row in rows
        ],
    )  # fmt: skip


def components(rows: Sequence[Row]) -> str:
    """Return success by method and component."""
    head = ['method', 'components', 'n', *_RATE, 'stored bits', 'action error']
    return markdown(
        head,
        [
            [
                row['method'], ' + '.join(row['components']), str(row['episodes']), *rate(row),
                number(row, 'bits_stored', '{:.3f}'), number(row, 'action_mae', '{:.4f}'),
            ]
            for row in rows
        ],
    )  # fmt: skip


def ablation(rows: Sequence[Row]) -> str:
    """Return what one change at a time does."""
    head = ['task', 'change', 'n', *_RATE, *_BITS, 'action error']
    return markdown(
        head,
        [
            [
                row['task'], f'`{row["label"].partition(":")[2] or "as it is"}`',
                str(row['episodes']), *rate(row), *bits(row),
                number(row, 'action_mae', '{:.4f}'),
            ]
            for row in rows
        ],
    )  # fmt: skip


def delays(rows: Sequence[Row]) -> str:
    """Return success by delay and execution."""
    ways = list(dict.fromkeys((row['label'], row['mode']) for row in rows))
    steps = sorted({row['delay'] for row in rows})
    found = {(r['label'], r['mode'], r['delay']): r for r in rows}
    body = []
    for label, mode in ways:
        cells = [found.get((label, mode, step)) for step in steps]
        body.append([f'`{label}`', mode, *(percent(c['success']) if c else '' for c in cells)])
    return markdown(['policy', 'execution', *(f'{step} steps' for step in steps)], body)


def pareto(rows: Sequence[Row]) -> str:
    """Return for each task the fewest stored bits with which a share of success is kept."""
    body = []
    for task in TASKS:
        mine = [row for row in rows if row['task'] == task and row['retention'] is not None]
        for share in KEPT:
            good = [r for r in mine if r['retention'] >= share and r['method'] != 'fp']
            best = min(good, key=lambda r: r['bits_stored_at_oft'], default=None)
            if best is not None:
                cells = [f'`{best["label"]}`', *bits(best), percent(best['retention'])]
            else:
                cells = ['none of these', *[''] * 4]
            body.append([task, f'{share:.0%}', *cells])
    return markdown(['task', 'kept at least', 'policy', *_BITS, 'kept, %'], body)


def over_ros(found: Row) -> str:
    """Return success over DDS beside success in process."""
    body = []
    for row in found['rows']:
        latency = row['latency_ms']
        cells = [
            f'{part["successes"]} of {part["episodes"]} ({interval(part)} %)'
            for part in (row['over_dds'], row['in_process'])
        ]
        spans = [
            f'{latency[name]["p50_ms"]:.0f} / {latency[name]["p99_ms"]:.0f}'
            for name in ('inference', 'observation_to_command')
        ]
        body.append([row['task'], *cells, f'{row["p_value"]:.2f}', *spans])
    head = [
        'task', 'over DDS', 'in process', 'p of a difference', 'inference p50 / p99, ms',
        'observation to command p50 / p99, ms',
    ]  # fmt: skip
    return markdown(head, body)


def short(rows: Sequence[Row]) -> str:
    """Return the table of the README: policies by measured task, success and interval."""
    tasks = [task for task in TASKS if any(row['task'] == task for row in rows)]
    labels = list(dict.fromkeys(row['label'] for row in rows))
    found = {(row['label'], row['task']): row for row in rows}
    body = []
    for label in labels:
        first = next(row for row in rows if row['label'] == label)
        cells = [found.get((label, task)) for task in tasks]
        texts = [f'{percent(c["success"])} ({interval(c)})' if c else '' for c in cells]
        body.append([f'`{label}`', number(first, 'bits_stored_at_oft', '{:.2f}'), *texts])
    return markdown(['policy', 'stored bits (OFT widths)', *tasks], body)


ABSENT = 'not measured'
MAKERS: dict[str, Callable[[Sequence[Row]], str]] = {
    'methods': methods,
    'components': components,
    'ablation': ablation,
    'delays': delays,
}


def tables() -> dict[str, dict[str, str]]:
    """Return the tables of both pages: by page, then by name."""
    rows = json.loads((RESULTS / 'closed_loop.json').read_text(encoding='utf-8'))
    ros = over_ros(json.loads((RESULTS / 'ros_closed_loop.json').read_text(encoding='utf-8')))
    of = {name: [row for row in rows if row['table'] == name] for name in MAKERS}
    made = {name: make(of[name]) if of[name] else ABSENT for name, make in MAKERS.items()}
    return {
        str(PAGE): {**made, 'pareto': pareto(of['methods']), 'ros': ros},
        str(README): {'closed loop': short(of['methods']), 'ros': ros},
    }


def main() -> None:
    """Write both pages."""
    for page, found in tables().items():
        text = Path(page).read_text(encoding='utf-8')
        Path(page).write_text(fill(text, found), encoding='utf-8')


if __name__ == '__main__':
    main()
