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

"""Read our HTML pages back; import as ``from html_page import ...``."""

from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

VOID = {'meta', 'img', 'br', 'line'}
FETCHING = {'src', 'href', 'srcset', 'action', 'poster', 'xlink:href'}


class Page(HTMLParser):
    """What a page shows: ``numbers`` and ``pictures`` in order, all of its text, its tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.numbers: list[float] = []
        self.fetched: list[str] = []
        self.tags: set[str] = set()
        self.text = ''
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], f'not closed: {self.open}'

    @property
    def pictures(self) -> list[str]:
        return [source for source in self.fetched if source.startswith('data:image/png')]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith('on'), f'a script: {name}'
            if name in FETCHING:
                self.fetched.append(value or '')
            if tag == 'data' and name == 'value':
                self.numbers.append(float(value or ''))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f'closes what is not open: {tag}'
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read_page(text: str) -> Page:
    """Read a page and see that it needs nothing but itself."""
    page = Page(text)
    assert all(source.startswith('data:') for source in page.fetched)
    assert not page.tags & {'script', 'link', 'iframe', 'object', 'embed'}
    assert 'http://' not in text
    assert 'https://' not in text
    assert 'url(' not in text
    return page


def all_numbers(value: Any) -> Iterator[float]:
    """Yield every number of nested JSON values."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from all_numbers(item)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield float(value)
