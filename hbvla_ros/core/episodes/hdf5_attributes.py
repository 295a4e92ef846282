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
Read attributes of HDF5 files that may be damaged.

Texts of no fixed length lie in heaps of the file. The HDF5 library walks through a heap from one
object to the next and never ends where a damaged one takes no room; nothing can interrupt it. So
the walk is done here first. Layout: HDF5 File Format Specification, III.E, "Global Heap".
"""

from mmap import ACCESS_READ, mmap
from pathlib import Path
import struct
from typing import Any

from hbvla_ros.core.errors import CalibrationError

_BEGIN = b'GCOL\x01\x00\x00\x00'  # signature, version 1, reserved
_HEAD = struct.Struct('<8sQ')  # and the size of the whole heap
_OBJECT = struct.Struct('<HHIQ')  # index (0 is what is free), references, reserved, size
_SIZES = (8, 8)  # bytes of addresses and lengths; all files have these in practice


def attribute(path: Path, file: Any, name: str, default: Any) -> Any:
    """
    Return an attribute of an open file.

    :param path: of the file
    :param file: a ``h5py.File``
    :param name: of the attribute
    :param default: returned where it is absent
    :raises CalibrationError: if a heap of the file is damaged and the attribute may lie in one
    """
    if name not in file.attrs:
        return default
    if file.attrs.get_id(name).dtype.kind == 'O':
        _check_heaps(path, file)
    return file.attrs[name]


def _check_heaps(path: Path, file: Any) -> None:
    sizes = file.id.get_create_plist().get_sizes()
    if sizes != _SIZES:
        raise CalibrationError(f'{path}: addresses of {sizes} bytes, expected {_SIZES}')
    with path.open('rb') as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as content:
        place = content.find(_BEGIN)
        while place >= 0:
            if not _is_whole(content, place):
                raise CalibrationError(f'{path}: the heap at byte {place} is damaged')
            place = content.find(_BEGIN, place + 1)


def _is_whole(content: mmap, place: int) -> bool:
    """Tell whether the objects of a heap lead to its end."""
    if place + _HEAD.size > len(content):
        return False
    end = place + _HEAD.unpack_from(content, place)[1]
    at = place + _HEAD.size
    if end > len(content):
        return False
    while at + _OBJECT.size <= end:
        index, _, _, size = _OBJECT.unpack_from(content, at)
        # The size of what is free counts its own head, that of an object does not.
        step = size if index == 0 else _OBJECT.size + (size + 7) // 8 * 8
        if step == 0 or at + step > end:
            return False
        at += step
    return True
