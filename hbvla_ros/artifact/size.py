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
How large an artifact is, to the byte, from its manifest alone.

``model.safetensors`` holds an 8-byte length, a JSON header padded with spaces to a multiple of 8,
and the tensors: ``size = 8 + header + sum of tensor bytes``. See ``doc/artifact_format.md``.
"""

from collections.abc import Mapping
import json
import math
from typing import Any

# In the order in which safetensors writes the types, whatever their names sort like.
ITEM_BYTES = {'U64': 8, 'I64': 8, 'F32': 4, 'BF16': 2, 'F16': 2, 'U16': 2, 'I8': 1, 'U8': 1}
_RANK = {name: rank for rank, name in enumerate(ITEM_BYTES)}


def tensor_bytes(entry: Mapping[str, Any]) -> int:
    """Return the bytes of a tensor from its ``dtype`` (safetensors name) and ``shape``."""
    return int(math.prod(entry['shape'])) * ITEM_BYTES[entry['dtype']]


def file_order(tensors: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the names of tensors in the order in which they lie in the file."""
    return sorted(tensors, key=lambda name: (_RANK[tensors[name]['dtype']], name))


def file_header(tensors: Mapping[str, Mapping[str, Any]]) -> bytes:
    """
    Return what stands before the tensors in ``model.safetensors``.

    :param tensors: name to ``dtype`` and ``shape``
    """
    header: dict[str, Any] = {}
    offset = 0
    for name in file_order(tensors):
        entry = tensors[name]
        end = offset + tensor_bytes(entry)
        shape = list(entry['shape'])
        header[name] = {'dtype': entry['dtype'], 'shape': shape, 'data_offsets': [offset, end]}
        offset = end
    text = json.dumps(header, separators=(',', ':'), ensure_ascii=False).encode()
    text += b' ' * (-len(text) % 8)
    return len(text).to_bytes(8, 'little') + text


def weights_file_bytes(tensors: Mapping[str, Mapping[str, Any]]) -> int:
    """
    Return the size of ``model.safetensors``.

    :param tensors: the manifest's table: name to ``dtype`` and ``shape``
    """
    return len(file_header(tensors)) + sum(tensor_bytes(entry) for entry in tensors.values())
