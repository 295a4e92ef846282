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
The native library: find it, load it, call it; arguments are checked on its side.

``csrc/hbvla_cpu.h`` describes the functions. Without a library, or with one that was built from
other sources, products run on plain torch, and the log says so once.
"""

from collections.abc import Iterator
import ctypes
from functools import lru_cache
import logging
from pathlib import Path
import sys

from hbvla_ros.core.errors import ConfigError
from hbvla_ros.kernels.build import LIBRARY, sources_digest

_LOG = logging.getLogger(__name__)
_WAY_OUT = 'build it: python3 -m hbvla_ros.kernels.build'
PATHS = {
    'portable': 0, 'avx2': 1, 'avx512': 2, 'avx512_lut': 3, 'amx_bf16': 4, 'amx_split': 5,
    'portable_int8': 8, 'avx2_int8': 9, 'avx512_vnni': 10, 'amx_int8': 11, 'neon': 12,
}  # fmt: skip
_STATUS = {
    1: 'an array is missing',
    2: 'a size, a type or an index is impossible',
    3: 'an array is not aligned to its elements',
    4: 'this processor does not run the path',
    5: 'there is no memory for a panel',
}
_size, _int, _pointer = ctypes.c_int64, ctypes.c_int32, ctypes.c_void_p


class Columns(ctypes.Structure):
    """``hb_columns``."""

    _fields_ = (
        ('in_features', _size),
        ('plain_width', _size),
        ('salient_width', _size),
        ('sources', _pointer),
        ('plain_transform', _int),
        ('salient_transform', _int),
    )


class Weight(ctypes.Structure):
    """``hb_weight``."""

    _fields_ = (
        ('out_features', _size),
        ('plain_width', _size),
        ('salient_width', _size),
        ('bits', _pointer),
        ('levels', _pointer),
        ('row_scale', _pointer),
        ('sums', _pointer),
    )


class Output(ctypes.Structure):
    """``hb_output``."""

    _fields_ = (
        ('data', _pointer),
        ('stride', _size),
        ('type', _int),
        ('bias', _pointer),
        ('accumulate', _int),
    )


class Norm(ctypes.Structure):
    """``hb_norm``."""

    _fields_ = (('weight', _pointer), ('add', _pointer), ('epsilon', ctypes.c_float))


def declare(library: ctypes.CDLL) -> ctypes.CDLL:
    """Give the functions of the library their types."""
    reference = ctypes.POINTER
    library.hb_sources.restype = ctypes.c_char_p
    library.hb_paths.restype = _size
    library.hb_prepared_bytes.restype = _size
    library.hb_prepared_bytes.argtypes = (ctypes.c_int, _size, _size, _size)
    library.hb_prepare.argtypes = (
        ctypes.c_int, reference(Columns), _pointer, _size, _size, ctypes.c_int, reference(Norm),
        _pointer, ctypes.c_int,
    )  # fmt: skip
    library.hb_multiply.argtypes = (
        ctypes.c_int, reference(Weight), _pointer, _size, reference(Output), ctypes.c_int,
    )  # fmt: skip
    library.hb_peak.restype = ctypes.c_double
    library.hb_peak.argtypes = (ctypes.c_int, _size)
    library.hb_chunk_sums.argtypes = (reference(Weight), _pointer)
    library.hb_normalize.argtypes = (
        _pointer, reference(Norm), _pointer, _size, _size, ctypes.c_int, ctypes.c_int,
    )  # fmt: skip
    library.hb_gate.argtypes = (_pointer, _pointer, _size, _size, ctypes.c_int, ctypes.c_int)
    library.hb_rotate.argtypes = (
        _pointer, _pointer, _pointer, _size, _size, _size, ctypes.c_int, ctypes.c_int,
    )  # fmt: skip
    return library


@lru_cache
def library() -> ctypes.CDLL | None:
    """Return the loaded library, or None after saying why there is none."""
    wanted = sources_digest()
    reasons = [f'{LIBRARY} was not built']
    for file in _candidates():
        try:
            loaded = declare(ctypes.CDLL(str(file)))
        except (OSError, AttributeError) as error:
            reasons = [f'{file}: {error}']
            continue
        found = loaded.hb_sources().decode()
        if found == wanted:
            return loaded
        reasons = [f'{file} was built from other sources ({found}, here {wanted})']
    _LOG.warning('packed weights run on plain torch, slowly: %s; %s', reasons[0], _WAY_OUT)
    return None


def _candidates() -> Iterator[Path]:
    """Yield the library of this package, then that of an installed copy."""
    here = Path(__file__).parent
    places = [here, *(Path(entry, 'hbvla_ros', 'kernels') for entry in sys.path)]
    return (place / LIBRARY for place in dict.fromkeys(places) if (place / LIBRARY).is_file())


@lru_cache
def available(path: str) -> bool:
    """Tell whether the library is there and this processor runs a path of it."""
    loaded = library()
    return loaded is not None and bool(loaded.hb_paths() >> PATHS[path] & 1)


def check(status: int, doing: str) -> None:
    """
    Turn a status of the library into an error.

    :raises ConfigError: with its meaning, unless it is 0
    """
    if status:
        raise ConfigError(f'{doing}: {_STATUS.get(status, f"status {status}")}')
