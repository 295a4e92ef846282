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
The tiles that the Triton product uses, by GPU architecture, kind of arithmetic and rows of x.

Chosen by arithmetic from shared memory and registers; no GPU has timed them. Every entry is
compiled for its architecture by the tests, which hold it against ``SHARED_BYTES``.
"""

from dataclasses import dataclass

# Shared memory that one block of threads may have (CUDA C++ programming guide, table of compute
# capabilities).
SHARED_BYTES = {80: 166912, 86: 101376, 87: 166912, 89: 101376, 90: 232448}
INT8, HALF, FULL = 'int8', 'half', 'full'  # of activations: int8; bfloat16 or float16; float32
KINDS = (INT8, HALF, FULL)
MAX_SPLIT = 8


@dataclass(frozen=True)
class Tile:
    """
    How one program of the product is cut.

    ``rows`` of x times ``outputs`` times ``depth`` columns at a time (32, 64 or 128), in so many
    ``warps`` and pipeline ``stages``.
    """

    rows: int
    outputs: int
    depth: int
    warps: int
    stages: int


# Most rows of x for which each tile is meant; the last takes all.
_SMALL, _MIDDLE = 16, 64
_BIG_MEMORY = {
    (INT8, 0): Tile(16, 64, 128, 4, 4),
    (INT8, 1): Tile(64, 64, 128, 4, 3),
    (INT8, 2): Tile(128, 128, 128, 8, 3),
    (HALF, 0): Tile(16, 64, 128, 4, 4),
    (HALF, 1): Tile(64, 64, 64, 4, 4),
    (HALF, 2): Tile(128, 128, 64, 8, 3),
    (FULL, 0): Tile(16, 32, 32, 4, 2),
    (FULL, 1): Tile(32, 64, 32, 4, 2),
    (FULL, 2): Tile(64, 64, 32, 8, 2),
}
_SMALL_MEMORY = _BIG_MEMORY | {(HALF, 2): Tile(128, 64, 64, 8, 3)}
_HOPPER = _BIG_MEMORY | {
    (INT8, 2): Tile(128, 128, 128, 8, 4),
    (HALF, 2): Tile(128, 128, 64, 8, 4),
}
TILES = {80: _BIG_MEMORY, 86: _SMALL_MEMORY, 87: _BIG_MEMORY, 89: _SMALL_MEMORY, 90: _HOPPER}


def nearest_architecture(capability: int) -> int:
    """
    Return the newest architecture of the table that is not newer than a device.

    :param capability: compute capability times ten, as 89
    """
    known = [number for number in TILES if number <= capability]
    return max(known, default=min(TILES))


def choose_tile(capability: int, kind: str, rows: int) -> Tile:
    """
    Return the tile for a product.

    :param capability: compute capability times ten
    :param kind: one of ``KINDS``
    :param rows: of x
    """
    size = (rows > _SMALL) + (rows > _MIDDLE)
    return TILES[nearest_architecture(capability)][kind, size]


def choose_split(tiles: int, processors: int, steps: int) -> int:
    """
    Return among how many programs the columns of one tile are shared.

    :param tiles: programs without sharing
    :param processors: of the GPU
    :param steps: groups of columns there are to share
    :return: a power of two, as many as keep two programs per processor busy
    """
    split = 1
    while split < MAX_SPLIT and 2 * split <= steps and tiles * split < 2 * processors:
        split *= 2
    return split
