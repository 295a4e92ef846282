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
Success against bits as inline SVG: one mark with its interval per policy, bits on a log axis.

Text and axes take the colour of the page; every mark says its numbers when pointed at.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
import html
import math

from hbvla_ros.core.chart import BLUE
from hbvla_ros.core.page import Markup

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 960, 380, 48, 24, 20, 44
_TICKS = (1, 1.25, 1.5, 2, 2.5, 3, 4, 6, 8, 12, 16)
_BIGGEST = 16.0
_LABEL_WIDTH, _LINE = 240, 14  # room for a name, px


@dataclass(frozen=True, slots=True)
class Point:
    """A policy: bits per weight (above 0), success and its interval, each 0 .. 1."""

    name: str
    bits: float
    success: float
    low: float
    high: float


def scatter_chart(points: Sequence[Point], across: str, limits: Sequence[float] = ()) -> Markup:
    """
    Draw success against bits.

    :param points: at least one
    :param across: what the horizontal axis measures
    :param limits: success rates at which a dashed line is drawn
    """
    low = min(1.0, *(point.bits for point in points))
    high = max(_BIGGEST, *(point.bits for point in points))
    parts = [*_axes(low, high, across)]
    for limit in limits:
        y = _down(limit)
        parts.append(
            f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}" '
            'stroke="currentColor" stroke-dasharray="6 4" stroke-opacity=".5"/>'
        )
    taken: list[tuple[float, float]] = []
    for point in sorted(points, key=lambda p: (-p.success, p.bits, p.name)):
        x = _right(point.bits, low, high)
        parts += [*_mark(point, x), _label(point, x, taken)]
    label = html.escape(f'success against {across}')
    return Markup(
        f'<svg role="img" aria-label="{label}" width="{_WIDTH}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-size="12">{"".join(parts)}</svg>'
    )


def _axes(low: float, high: float, across: str) -> Iterator[str]:
    bottom = _HEIGHT - _BOTTOM
    for percent in range(0, 101, 20):
        y = _down(percent / 100)
        yield _text(_LEFT - 6, y + 4, f'{percent}%', 'end')
        yield (
            f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}" '
            'stroke="currentColor" stroke-opacity=".2"/>'
        )
    for bits in (bits for bits in _TICKS if low <= bits <= high):
        x = _right(bits, low, high)
        yield _text(x, bottom + 16, f'{bits:g}', 'middle')
    yield _text((_LEFT + _WIDTH) / 2, _HEIGHT - 6, across, 'middle')


def _mark(point: Point, x: float) -> Iterator[str]:
    y, top, end = _down(point.success), _down(point.high), _down(point.low)
    said = html.escape(
        f'{point.name}: {point.success:.1%} ({point.low:.1%} to {point.high:.1%}) at '
        f'{point.bits:.3f} bits'
    )
    yield (
        f'<line x1="{x:.1f}" y1="{top:.1f}" x2="{x:.1f}" y2="{end:.1f}" stroke="{BLUE}" '
        'stroke-width="2" stroke-opacity=".6"/>'
    )
    yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{BLUE}"><title>{said}</title></circle>'


def _label(point: Point, x: float, taken: list[tuple[float, float]]) -> str:
    """Write the name beside the mark, below those that are there already."""
    y = _down(point.success) - 6
    while any(abs(x - other) < _LABEL_WIDTH and abs(y - line) < _LINE for other, line in taken):
        y += 1
    taken.append((x, y))
    at_end = x > _WIDTH - _LABEL_WIDTH
    return _text(x - 8 if at_end else x + 8, y, point.name, 'end' if at_end else 'start')


def _right(bits: float, low: float, high: float) -> float:
    share = math.log(bits / low) / math.log(high / low)
    return _LEFT + 12 + share * (_WIDTH - _LEFT - _RIGHT - 24)


def _down(success: float) -> float:
    return _TOP + (1 - success) * (_HEIGHT - _TOP - _BOTTOM)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor">'
        f'{html.escape(text)}</text>'
    )
