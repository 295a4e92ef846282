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
Self-contained HTML pages: one file, no script, nothing that is fetched from elsewhere.

A number is written as ``<data value="...">`` with all its digits beside the rounded text, so that
a page can be read back exactly. It knows nothing of what the pages are about.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
import html
import os
from pathlib import Path

_STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.45 system-ui,sans-serif;max-width:72em;margin:2em auto;padding:0 1em}
h1{font-size:1.6em}h2{font-size:1.2em;margin-top:2em}
img,svg{max-width:100%}figure{display:inline-block;margin:0 1em 1em 0;vertical-align:top}
figcaption,.note{font-size:.85em;opacity:.8}
table{border-collapse:collapse}caption{text-align:left;font-size:.85em;opacity:.8}
th,td{text-align:left;vertical-align:top;padding:.15em 1.2em .15em 0}
td.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
thead th{border-bottom:1px solid #8888}
pre,code{font:14px ui-monospace,monospace}
pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere}
summary{cursor:pointer}
"""


class Markup(str):
    """Text that is HTML already and is not escaped again."""

    __slots__ = ()


def page(title: str, parts: Iterable[str]) -> str:
    """
    Return a whole page.

    :param title: plain text, also the heading
    :param parts: of the body; plain text becomes a paragraph, :class:`Markup` stays as it is
    """
    body = '\n'.join(p if isinstance(p, Markup) else paragraph(p) for p in parts)
    name = html.escape(title)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f'<title>{name}</title><style>{_STYLE}</style></head>\n'
        f'<body><h1>{name}</h1>\n{body}\n</body></html>\n'
    )


def paragraph(text: str) -> Markup:
    """Return a paragraph of plain text."""
    return Markup(f'<p>{html.escape(text)}</p>')


def heading(text: str) -> Markup:
    """Return a heading of the second order."""
    return Markup(f'<h2>{html.escape(text)}</h2>')


def preformatted(text: str) -> Markup:
    """Return text whose lines and spaces stay."""
    return Markup(f'<pre>{html.escape(text)}</pre>')


def number(value: float, form: str = '') -> Markup:
    """
    Return a number, rounded for the eye and whole for a program.

    :param value: what ``repr`` can write and ``float`` can read
    :param form: format of the visible text; thousands separators or four digits by default
    """
    text = format(value, form or (',' if isinstance(value, int) else '.4g'))
    return Markup(f'<data value="{value!r}">{text}</data>')


def table(header: Sequence[str], rows: Iterable[Sequence[object]], caption: str = '') -> Markup:
    """
    Return a table.

    :param header: names of the columns
    :param rows: cells: numbers, :class:`Markup` or what ``str`` makes plain text of
    :param caption: plain text above the table
    """
    top = ''.join(f'<th>{html.escape(name)}</th>' for name in header)
    lines = '\n'.join(f'<tr>{"".join(map(_cell, row))}</tr>' for row in rows)
    title = f'<caption>{html.escape(caption)}</caption>' if caption else ''
    return Markup(
        f'<table>{title}<thead><tr>{top}</tr></thead>\n<tbody>\n{lines}\n</tbody></table>'
    )


def facts_table(facts: Mapping[str, object]) -> Markup:
    """Return a table of two columns: names and values."""
    lines = '\n'.join(
        f'<tr><th>{html.escape(name)}</th>{_cell(value)}</tr>' for name, value in facts.items()
    )
    return Markup(f'<table>{lines}</table>')


def folded(summary: str, content: str) -> Markup:
    """Return content that shows when its one-line summary is clicked."""
    return Markup(f'<details><summary>{html.escape(summary)}</summary>{content}</details>')


def picture(png: bytes, alt: str, caption: str = '') -> Markup:
    """
    Return a picture that travels inside the page.

    :param png: the file's bytes
    :param alt: what it shows, for those who can't see it
    :param caption: below it
    """
    source = base64.b64encode(png).decode()
    below = f'<figcaption>{html.escape(caption)}</figcaption>' if caption else ''
    image = f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{source}">'
    return Markup(f'<figure>{image}{below}</figure>')


def write_whole(path: Path, text: str) -> None:
    """
    Write a file that is either whole or as it was.

    :param path: replaced if it exists; its folder must exist
    :param text: contents
    :raises OSError: if it can't be written
    """
    new = path.with_name(f'.{path.name}.new')
    try:
        new.write_text(text, encoding='utf-8')
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        value = 'yes' if value else 'no'
    if isinstance(value, (int, float)):
        value = number(value)
    if not isinstance(value, Markup):
        return f'<td>{html.escape(str(value))}</td>'
    return f'<td class="number">{value}</td>' if value.startswith('<data') else f'<td>{value}</td>'
