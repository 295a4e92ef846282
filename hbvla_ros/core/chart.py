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
Charts as inline SVG: dots over a logarithmic axis, and bars from zero.

Every mark says its name and value when pointed at, text and axes take the colour of the page, and
the same values always give the same text.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
import html
import math

from hbvla_ros.core.page import Markup

BLUE, ORANGE, GREEN, PINK = '#0072b2', '#d55e00', '#009e73', '#cc79a7'  # told apart by all eyes
CIRCLE, SQUARE, TRIANGLE = 'circle', 'square', 'triangle'
_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 960, 64, 12, 40, 28
_DOTS_HEIGHT, _BAR_HEIGHT, _BAR_GAP, _LETTER = 320, 12, 8, 6.8


@dataclass(frozen=True, slots=True)
class Dot:
    """One value: its place along the axis (0, 1, 2, ...), its size, and its name."""

    place: int
    value: float
    name: str


@dataclass(frozen=True, slots=True)
class Series:
    """Dots that look alike: ``marker`` is ``circle``, ``square`` or ``triangle``."""

    name: str
    dots: Sequence[Dot]
    colour: str
    marker: str = CIRCLE


@dataclass(frozen=True, slots=True)
class Band:
    """A named range of places ``start .. end - 1``."""

    name: str
    start: int
    end: int


def dot_chart(series: Sequence[Series], label: str, bands: Sequence[Band] = ()) -> Markup:
    """
    Draw values side by side over a logarithmic axis.

    :param series: values >= 0; zeros stand at the bottom. Those without dots are left out
    :param label: what the axis measures
    :param bands: named ranges of places, separated by lines
    """
    shown = [one for one in series if one.dots]
    dots = [dot for one in shown for dot in one.dots]
    low, high = _decades([dot.value for dot in dots])
    places = 1 + max((dot.place for dot in dots), default=0)
    bottom = _DOTS_HEIGHT - _BOTTOM

    def across(place: float) -> float:
        return _LEFT + (place + 0.5) * (_WIDTH - _LEFT - _RIGHT) / places

    def down(value: float) -> float:
        share = (math.log10(max(value, 10.0**low)) - low) / (high - low)
        return bottom - share * (bottom - _TOP)

    parts = [_legend(shown), _text(4, _TOP - 10, label)]
    for exponent in range(low, high + 1):
        y = down(10.0**exponent)
        parts += [
            _line(_LEFT, y, _WIDTH - _RIGHT, y),
            _text(_LEFT - 6, y + 4, f'{10.0**exponent:g}', 'end'),
        ]
    for band in bands:
        edge = across(band.start - 0.5)
        parts += [
            _line(edge, _TOP, edge, bottom),
            _text(edge + 3, _DOTS_HEIGHT - 8, band.name),
        ]
    for one in shown:
        marks = (
            _mark(one, across(dot.place), down(dot.value), _said(dot.name, one.name, dot.value))
            for dot in one.dots
        )
        parts += marks
    return _svg(_DOTS_HEIGHT, label, parts)


def bar_chart(names: Sequence[str], series: Sequence[tuple[str, Sequence[float]]]) -> Markup:
    """
    Draw bars from zero, one group per name.

    :param names: of the groups, from top to bottom
    :param series: name and one value >= 0 per group, at most four of them
    """
    colours = (BLUE, ORANGE, GREEN, PINK)
    group = len(series) * _BAR_HEIGHT + _BAR_GAP
    most = max((value for _, values in series for value in values), default=0.0) or 1.0
    left = 16 + _LETTER * max(map(len, names), default=0)
    room = _WIDTH - left - 80  # the value stands behind its bar
    keys = [Series(name, (), colours[n], SQUARE) for n, (name, _) in enumerate(series)]
    parts = [_legend(keys)]
    for row, name in enumerate(names):
        top = _TOP + row * group
        parts.append(_text(left - 8, top + (group - _BAR_GAP) / 2 + 4, name, 'end'))
        for line, (what, values) in enumerate(series):
            value, y = values[row], top + line * _BAR_HEIGHT
            width = room * max(0.0, value) / most
            parts += [
                f'<rect x="{left:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_BAR_HEIGHT - 2}" '
                f'fill="{colours[line]}"><title>{_said(name, what, value)}</title></rect>',
                _text(left + width + 4, y + _BAR_HEIGHT - 3, f'{value:.3g}'),
            ]
    return _svg(_TOP + len(names) * group, ', '.join(name for name, _ in series), parts)


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """Return the exponents between which all positive values lie, at least one decade apart."""
    positive = [value for value in values if value > 0]
    if not positive:
        return -1, 0
    low = math.floor(math.log10(min(positive)))
    return low, max(low + 1, math.ceil(math.log10(max(positive))))


def _said(name: str, what: str, value: float) -> str:
    return html.escape(f'{name}: {what} {value:.4g}')


def _mark(series: Series, x: float, y: float, title: str) -> str:
    shape = {
        CIRCLE: f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"',
        SQUARE: f'<rect x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7"',
        TRIANGLE: f'<path d="M{x:.1f} {y - 4.5:.1f}l4.5 8h-9z"',
    }[series.marker]
    tag = shape[1:].split(' ', 1)[0]
    return f'{shape} fill="{series.colour}" fill-opacity=".8"><title>{title}</title></{tag}>'


def _legend(series: Iterable[Series]) -> str:
    parts, x = [], float(_LEFT)
    for one in series:
        parts += [_mark(one, x, 12, html.escape(one.name)), _text(x + 9, 16, one.name)]
        x += 28 + _LETTER * len(one.name)
    return ''.join(parts)


def _text(x: float, y: float, text: str, anchor: str = 'start') -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor">'
        f'{html.escape(text)}</text>'
    )


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        'stroke="currentColor" stroke-opacity=".25"/>'
    )


def _svg(height: float, label: str, parts: Iterable[str]) -> Markup:
    return Markup(
        f'<svg role="img" aria-label="{html.escape(label)}" width="{_WIDTH}" '
        f'viewBox="0 0 {_WIDTH} {height:.0f}" font-size="12">{"".join(parts)}</svg>'
    )
