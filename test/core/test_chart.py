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

"""Charts put larger values further from the axis and say what they show."""

import re
import xml.etree.ElementTree as ET

from hbvla_ros.core.chart import Band, bar_chart, Dot, dot_chart, Series, SQUARE, TRIANGLE
from hypothesis import given
from hypothesis import strategies as st
import pytest

VALUES = st.lists(st.floats(1e-12, 1e12), min_size=1, max_size=30)


def _dots(svg: str) -> dict[str, tuple[float, float]]:
    """Return the places of the circles by what they say."""
    root = ET.fromstring(svg)
    assert root.tag == 'svg'
    return {
        mark.find('title').text: (float(mark.get('cx')), float(mark.get('cy')))
        for mark in root.iter('circle')
        if ':' in mark.find('title').text
    }


def _chart(values):
    dots = [Dot(i, value, f'dot {i}') for i, value in enumerate(values)]
    return dot_chart([Series('errors', dots, 'red')], 'error')


@given(VALUES)
def test_every_dot_lies_inside_and_larger_ones_are_higher(values):
    places = list(_dots(_chart(values)).values())
    assert len(places) == len(values)
    assert all(64 <= x <= 960 and 40 <= y <= 292 for x, y in places)
    by_value = sorted(zip(values, places, strict=True))
    heights = [y for _, (_, y) in by_value]
    assert heights == sorted(heights, reverse=True)
    assert [x for x, _ in places] == sorted(x for x, _ in places)


def test_a_decade_is_as_high_as_any_other():
    heights = [y for _, y in _dots(_chart([1.0, 10.0, 100.0])).values()]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.11)  # 1 decimal
    assert heights[0] == 292
    assert heights[2] == 40


def test_zero_stands_at_the_bottom():
    assert _dots(_chart([0.0, 5.0]))['dot 0: errors 0'][1] == 292


@pytest.mark.parametrize('values', [[], [0.0], [3.0]])
def test_few_values_still_make_a_chart(values):
    assert len(_dots(_chart(values))) == len(values)


def test_series_look_different_and_empty_ones_are_not_in_the_legend():
    svg = dot_chart(
        [
            Series('one', [Dot(0, 1.0, 'a')], 'red'),
            Series('two', [Dot(1, 2.0, 'b')], 'blue', SQUARE),
            Series('three', [Dot(2, 3.0, 'c')], 'green', TRIANGLE),
            Series('none', [], 'black'),
        ],
        'error',
        [Band('<left>', 0, 2), Band('right', 2, 3)],
    )
    root = ET.fromstring(svg)
    texts = [text.text for text in root.iter('text')]
    assert {'one', 'two', 'three', '<left>', 'right', 'error'} <= set(texts)
    assert 'none' not in texts
    assert [len(list(root.iter(tag))) for tag in ('circle', 'rect', 'path')] == [2, 2, 2]


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=10))
def test_bars_are_as_long_as_their_values(values):
    root = ET.fromstring(bar_chart([f'n{i}' for i in range(len(values))], [('error', values)]))
    bars = [rect for rect in root.iter('rect') if ':' in rect.find('title').text]
    lengths = [float(bar.get('width')) for bar in bars]
    longest = max(lengths)
    most = max(values)
    assert lengths == pytest.approx(
        [longest * value / most if most else 0 for value in values], abs=0.11
    )
    ends = [float(bar.get('x')) + float(bar.get('width')) for bar in bars]
    assert max(ends) <= 960


def test_the_same_values_give_the_same_text_and_no_address():
    assert _chart([1.0, 2.0]) == _chart([1.0, 2.0])
    assert not re.search(r'https?:', _chart([1.0, 2.0]))
