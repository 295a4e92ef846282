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

"""The rows of an evaluation as a self-contained HTML page and as text for a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hbvla_ros.core.page import facts_table, heading, Markup, number, page, picture, table
from hbvla_ros.evaluate.contact_sheet import film, Shown, strip
from hbvla_ros.evaluate.scatter import Point, scatter_chart

Row = Mapping[str, Any]
_COLUMNS: Mapping[str, tuple[str, str]] = {
    'label': ('policy', ''),
    'episodes': ('episodes', ''),
    'success': ('success', '.1%'),
    'retention': ('retention', '.1%'),
    'lost': ('lost', ''),
    'gained': ('gained', ''),
    'p_value': ('p', '.2g'),
    'bits_sign': ('sign bits', '.3f'),
    'bits_stored': ('stored bits', '.3f'),
    'bits_stored_at_oft': ('stored at OFT', '.3f'),
    'action_mae': ('action error', '.4f'),
    'jerk_ratio': ('jerk ratio', '.2f'),
    'gripper_flips': ('gripper flips', '.2f'),
    'seconds_to_success': ('s to success', '.2f'),
}
_INTERVALS = {
    'success': ('ci_low', 'ci_high'),
    'retention': ('retention_low', 'retention_high'),
}
_DELAY = {'delay': ('delay, steps', ''), 'mode': ('robot', '')}
_NOTE = (
    'Intervals are 95%: Wilson for success, Bonett and Price for retention, which is the ratio of '
    'successes to those of full precision on the same episodes. lost and gained count episodes '
    'whose outcome changed, p is the exact McNemar test. Bits are per quantized weight: signs '
    'alone, every stored byte, the same configuration at the widths of OpenVLA-OFT. The action '
    'error is the mean distance from full precision on the same observations, in normalised '
    'units; jerk is the mean third difference of joint targets over that of full precision.'
)


def score_page(
    rows: Sequence[Row], about: Mapping[str, Any], shown: Mapping[str, Sequence[Shown]]
) -> str:
    """
    Return the page.

    :param rows: from ``evaluate/evaluation.py``, those of a task and a table together
    :param about: where they are from, shown as they are
    :param shown: by task, the drawn episodes of each policy
    """
    return page('Policies in closed loop', _parts(rows, about, shown))


def score_text(rows: Sequence[Row]) -> str:
    """Return a table for a terminal."""
    wide = max((len(row['label']) for row in rows), default=0)
    lines = [
        f'{"task":15} {"table":10} {"policy":{wide}} {"n":>4} {"success":>8} '
        f'{"95%":>15} {"kept":>7} {"stored":>7} {"at OFT":>7} {"error":>7}'
    ]
    for row in rows:
        way = f' {row["mode"]} {row["delay"]}' if row['table'] == 'delays' else ''
        between = f'{row["ci_low"]:.1%}-{row["ci_high"]:.1%}'
        lines.append(
            f'{row["task"]:15} {row["table"]:10} {row["label"]:{wide}} {row["episodes"]:4} '
            f'{row["success"]:8.1%} {between:>15} {_plain(row["retention"], ".1%"):>7} '
            f'{row["bits_stored"]:7.3f} {row["bits_stored_at_oft"]:7.3f} '
            f'{_plain(row["action_mae"], ".4f"):>7}{way}'
        )
    return '\n'.join(lines)


def _parts(
    rows: Sequence[Row], about: Mapping[str, Any], shown: Mapping[str, Sequence[Shown]]
) -> Iterator[str]:
    yield _NOTE
    yield facts_table(about)
    for task, name in dict.fromkeys((row['task'], row['table']) for row in rows):
        chosen = [row for row in rows if (row['task'], row['table']) == (task, name)]
        yield heading(f'{task}: {name}')
        columns = {**_COLUMNS, **(_DELAY if name == 'delays' else {})}
        header = [title for title, _ in columns.values()]
        yield table(header, ([_cell(row, key) for key in columns] for row in chosen))
        if name == 'methods':
            yield from _pareto(chosen)
            yield from _pictures(shown.get(task, ()))


def _cell(row: Row, key: str) -> object:
    value, form = row[key], {**_COLUMNS, **_DELAY}[key][1]
    if value is None:
        return 'not measured'
    if not isinstance(value, (int, float)):
        return str(value)
    ends = [row[name] for name in _INTERVALS.get(key, ())]
    if not ends or None in ends:
        return number(value, form)
    low, high = (number(end, '.1%') for end in ends)
    return Markup(f'{number(value, form)} ({low} to {high})')


def _pareto(rows: Sequence[Row]) -> Iterator[str]:
    full = [row['success'] for row in rows if row['method'] == 'fp']
    limits = [0.92 * full[0]] if full else []
    for key, what in (
        ('bits_stored', 'stored bits per weight in this policy'),
        ('bits_stored_at_oft', 'stored bits per weight at the widths of OpenVLA-OFT'),
    ):
        points = [
            Point(row['label'], row[key], row['success'], row['ci_low'], row['ci_high'])
            for row in rows
        ]
        yield scatter_chart(points, what, limits)
    if limits:
        yield 'The dashed line is 92% of the success of full precision.'


def _pictures(policies: Sequence[Shown]) -> Iterator[str]:
    rows = [(one.label, strip(one.pictures)) for one in policies if one.pictures]
    if rows:
        yield table(
            ('policy', 'first episodes: how they begin, and how they end with each policy'),
            [(label, picture(png, f'{label}: episodes side by side')) for label, png in rows],
            'Green borders are successes.',
        )
    yield from (film(one) for one in policies if one.film.is_file())


def _plain(value: float | None, form: str) -> str:
    return '-' if value is None else format(value, form)
