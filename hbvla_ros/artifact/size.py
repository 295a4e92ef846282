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


def weights_file_bytes(tensors: Mapping[str, Mapping[str, Any]]) -> int:
    """
    Return the size of ``model.safetensors``.

    :param tensors: the manifest's table: name to ``dtype`` and ``shape``
    """
    order = sorted(tensors, key=lambda name: (_RANK[tensors[name]['dtype']], name))
    header: dict[str, Any] = {}
    offset = 0
    for name in order:
        end = offset + tensor_bytes(tensors[name])
        header[name] = {
            'dtype': tensors[name]['dtype'],
            'shape': list(tensors[name]['shape']),
            'data_offsets': [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(',', ':'), ensure_ascii=False).encode()
    return 8 + -(-len(text) // 8) * 8 + offset
