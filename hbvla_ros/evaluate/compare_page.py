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

"""A comparison of two policies as text for a terminal and as a self-contained HTML page."""

from collections.abc import Iterator, Mapping
from typing import Any

from hbvla_ros.core.chart import bar_chart
from hbvla_ros.core.page import facts_table, heading, number, page, table

_JOINTS = ('name', 'mean_error', 'mean_error_physical', 'largest_error_physical')
_GRIPPERS = ('name', 'differ', 'rows', 'flips_first', 'flips_second')
_COLUMNS = (
    'gripper',
    'rows on different sides',
    'of rows',
    'flips of the first',
    'flips of the second',
)


def comparison_text(facts: Mapping[str, Any]) -> str:
    """
    Return lines for a terminal.

    :param facts: from :func:`hbvla_ros.evaluate.side_by_side.run_comparison`
    """
    lines = [
        f'first:  {_named(facts["first"])}',
        f'second: {_named(facts["second"])}',
        f'{facts["observations"]} observations ({facts["source"]}) of {facts["robot"]}, chunks of '
        f'{facts["chunk_size"]}, {facts["dtype"]}',
        f'action error, normalised: mean {facts["mean_error"]:.5f}, largest '
        f'{facts["largest_error"]:.5f}',
        f'jerk: {_jerk(facts["jerk"])}',
        *(
            f'{one["name"]}: on different sides of the middle in {one["differ"]} of '
            f'{one["rows"]} rows; flips {one["flips_first"]} and {one["flips_second"]}'
            for one in facts['grippers']
        ),
        f'{"joint":24} {"normalised":>10} {"physical":>10} {"largest":>10}',
        *('{:24} {:10.5f} {:10.5f} {:10.5f}'.format(*_row(one)) for one in facts['joints']),
    ]
    return '\n'.join(lines)


def comparison_page(facts: Mapping[str, Any]) -> str:
    """
    Return the page.

    :param facts: from :func:`hbvla_ros.evaluate.side_by_side.run_comparison`
    """
    return page('Two policies on the same observations', _parts(facts))


def _parts(facts: Mapping[str, Any]) -> Iterator[str]:
    yield (
        'Both policies answer recorded or made-up observations: how far apart their answers are, '
        'not whether a task succeeds.'
    )
    jerk = facts['jerk']
    yield facts_table(
        {
            'first': _named(facts['first']),
            'second': _named(facts['second']),
            'observations': facts['observations'],
            'of': f'{facts["source"]}, robot {facts["robot"]}',
            'observations SHA-256': facts['samples_sha256'],
            'computed in': facts['dtype'],
            'mean action error, normalised': facts['mean_error'],
            'largest action error, normalised': facts['largest_error'],
            'jerk, first to second': number(jerk['ratio']) if 'ratio' in jerk else _jerk(jerk),
        }
    )
    yield heading('Action error per joint')
    names = [one['name'] for one in facts['joints']]
    yield bar_chart(names, [('mean, normalised', [one['mean_error'] for one in facts['joints']])])
    header = ('joint', 'mean, normalised', 'mean, rad or opening', 'largest, rad or opening')
    yield table(header, map(_row, facts['joints']))
    if facts['grippers']:
        yield heading('Grippers')
        rows = ([one[key] for key in _GRIPPERS] for one in facts['grippers'])
        yield table(_COLUMNS, rows, 'Sides of the middle of the range, over all rows of chunks.')


def _row(joint: Mapping[str, Any]) -> list[Any]:
    return [joint[key] for key in _JOINTS]


def _named(policy: Mapping[str, Any]) -> str:
    if policy['kind'] == 'artifact':
        detail = f'{policy["method"]}, {policy["bits_stored"]:.3f} stored bits'
    elif policy['is_source']:
        detail = 'full precision, the source of the first'
    else:
        detail = 'full precision, NOT the source of the first'
    return f'{policy["path"]} ({detail})'


def _jerk(jerk: Mapping[str, Any]) -> str:
    if 'not_measured' in jerk:
        return f'not measured: {jerk["not_measured"]}'
    return (
        f'{jerk["ratio"]:.3f} times the second ({jerk["first"]:.3g} and {jerk["second"]:.3g} per '
        f'step cubed, {jerk["steps"]} steps)'
    )
