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

"""Success against bits as a picture: every policy is shown, with its numbers."""

import re

from hbvla_ros.core.page import page
from hbvla_ros.evaluate.scatter import Point, scatter_chart
from html_page import read_page

POINTS = [
    Point('rtn', 1.133, 0.0, 0.0, 0.07),
    Point('hbvla<plus>', 1.133, 0.94, 0.92, 0.96),
    Point('hbvla', 1.133, 0.938, 0.92, 0.96),
    Point('two planes', 2.26, 0.97, 0.95, 0.98),
    Point('fp', 16.0, 0.98, 0.96, 0.99),
]


def test_every_mark_says_its_numbers_and_no_name_is_markup():
    shown = read_page(page('chart', [scatter_chart(POINTS, 'stored bits', [0.9])]))
    assert 'hbvla<plus>: 94.0% (92.0% to 96.0%) at 1.133 bits' in shown.text
    assert 'stored bits' in shown.text


def test_more_bits_are_on_the_right_and_more_success_is_above():
    marks = {
        title.split(':')[0]: (float(x), float(y))
        for x, y, title in re.findall(
            r'<circle cx="([\d.]+)" cy="([\d.]+)".*?<title>(.*?)</title>',
            scatter_chart(POINTS, 'bits'),
        )
    }
    assert marks['rtn'][0] == marks['hbvla'][0] < marks['two planes'][0] < marks['fp'][0]
    assert marks['fp'][1] < marks['two planes'][1] < marks['hbvla'][1] < marks['rtn'][1]


def test_names_of_policies_that_lie_together_stand_below_each_other():
    chart = scatter_chart(POINTS, 'bits')
    lines = {
        name: float(y)
        for y, name in re.findall(r'<text x="[\d.]+" y="([\d.]+)"[^>]*>(hbvla.*?)</text>', chart)
    }
    assert len(lines) == 2
    assert lines['hbvla'] - lines['hbvla&lt;plus&gt;'] >= 14
