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

"""Packages that only some recordings need, and what their parsers say of damaged files."""

from collections.abc import Iterator
from contextlib import contextmanager
import importlib
from pathlib import Path
from typing import Any

from hbvla_ros.core.errors import CalibrationError, ConfigError, HbvlaError


def needed(package: str, what: str) -> Any:
    """
    Import a package that this kind of data needs.

    :param package: name of the module, for example ``pyarrow.parquet``
    :param what: the data, for the message
    :raises ConfigError: if it is not installed
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(
            f'{what} needs the package {package.split(".")[0]}: '
            f'pip install -r requirements/data.txt ({error})'
        ) from error


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """
    Turn whatever a parser trips over in damaged bytes into a ``CalibrationError``.

    :param path: the file that is read in the ``with`` block
    :param what: what it should be, for the message
    :raises CalibrationError: naming file and reason; our own errors pass unchanged
    """
    try:
        yield
    except HbvlaError:
        raise
    except Exception as error:
        detail = f'{type(error).__name__}: {error}'
        raise CalibrationError(f'{path}: not a readable {what}: {detail}') from error
