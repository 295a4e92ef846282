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
Names to objects that are imported on first use.

A table entry is a string ``'package.module:ATTRIBUTE'``, so listing what exists costs no import of
torch or transformers, and adding a method, a model or a kernel is one file and one line.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import TypeVar

from hbvla_ros.core.errors import ConfigError

T = TypeVar('T')


class Registry(Mapping[str, T]):
    """A read-only table of named, lazily imported objects."""

    def __init__(self, kind: str, entries: dict[str, str]) -> None:
        """
        Describe what the table holds.

        :param kind: what one entry is, for messages (``'method'``)
        :param entries: name to ``'package.module:ATTRIBUTE'``
        """
        self._kind = kind
        self._entries = dict(entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, name: str) -> T:
        """
        Import and return one entry.

        :raises ConfigError: for an unknown name; the message lists the known ones
        """
        if name not in self._entries:
            near = get_close_matches(name, self._entries, n=1)
            hint = f'did you mean {near[0]!r}? ' if near else ''
            raise ConfigError(
                f'unknown {self._kind} {name!r}; {hint}known: {", ".join(sorted(self._entries))}'
            )
        module, attribute = self._entries[name].split(':')
        entry: T = getattr(import_module(module), attribute)
        return entry
