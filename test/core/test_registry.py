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

"""Names to lazily imported objects."""

import sys

from hbvla_ros.core.errors import ConfigError
from hbvla_ros.core.registry import Registry
import pytest

TABLE = Registry('unit', {'to': 'hbvla_ros.core.units:to_unit', 'from': 'no_such_module:X'})


def test_an_entry_is_the_object_itself():
    from hbvla_ros.core.units import to_unit

    assert TABLE['to'] is to_unit


def test_listing_imports_nothing():
    table = Registry('game', {'chess': 'this_module_does_not_exist:GAME'})
    assert list(table) == ['chess']
    assert 'this_module_does_not_exist' not in sys.modules


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"unknown unit 'metre'; known: from, to"):
        TABLE['metre']


def test_a_near_miss_is_suggested():
    with pytest.raises(ConfigError, match=r"did you mean 'from'\?"):
        TABLE['form']


def test_a_broken_entry_is_a_bug_and_surfaces():
    with pytest.raises(ModuleNotFoundError, match='no_such_module'):
        TABLE['from']


def test_the_table_is_a_copy():
    entries = {'to': 'hbvla_ros.core.units:to_unit'}
    table = Registry('unit', entries)
    entries['other'] = 'x:y'
    assert list(table) == ['to']
