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

"""Pages are whole, escaped and need nothing but themselves."""

from hbvla_ros.core.page import (
    facts_table,
    folded,
    heading,
    Markup,
    number,
    page,
    picture,
    preformatted,
    table,
    write_whole,
)
from html_page import Page, read_page
from hypothesis import given
from hypothesis import strategies as st
import pytest


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**15), 10**15))
def test_a_number_can_be_read_back_exactly(value):
    assert Page(number(value)).numbers == [value]


@given(st.text(st.characters(codec='utf-8', exclude_categories=['Cc'])))
def test_plain_text_stays_plain_text(text):
    # The parser turns nothing of it into a tag, and gives every character back.
    made = Page(str(facts_table({text: text})))
    assert made.text == 2 * text
    assert made.tags == {'table', 'tr', 'th', 'td'}


def test_a_page_has_all_its_parts_and_nothing_from_elsewhere():
    parts = [
        'a < b',
        heading('Head'),
        table(('name', 'value'), [('x & y', 1234567), ('z', 0.123456), ('yes?', True)], 'cap'),
        folded('more', preformatted('a\n  b')),
        picture(b'png', 'a picture', 'below'),
    ]
    made = read_page(page('T<', parts))
    for text in ('T<', 'a < b', 'Head', 'x & y', '1,234,567', '0.1235', 'yes', 'a\n  b', 'below'):
        assert text in made.text
    assert made.numbers == [1234567, 0.123456]
    assert len(made.pictures) == 1


def test_markup_is_not_escaped_again():
    assert table((), [[Markup('<b>x</b>')]]).count('<b>x</b>') == 1


def test_a_file_is_replaced_whole(tmp_path):
    file = tmp_path / 'a.html'
    for text in ('one', 'two'):
        write_whole(file, text)
        assert file.read_text() == text
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    (tmp_path / 'a.html').mkdir()
    with pytest.raises(OSError, match=r'a\.html'):
        write_whole(tmp_path / 'a.html', 'text')
    assert [path.name for path in tmp_path.iterdir()] == ['a.html']
