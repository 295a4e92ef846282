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

"""Lay the importance of patches over the picture that they are patches of."""

from collections.abc import Sequence
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# From dark violet over red to pale yellow: brighter is more, also without colour.
_STOPS = ((0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164))
_OPACITY = 0.6


def colours(shares: NDArray[np.floating]) -> NDArray[np.float64]:
    """
    Return the colour of each share.

    :param shares: any shape, 0 .. 1; beyond that they are clipped
    :return: ``float64 [..., 3]``, 0 .. 255
    """
    places = np.clip(shares, 0, 1) * (len(_STOPS) - 1)
    ends = np.arange(len(_STOPS))
    channels = [np.interp(places, ends, [stop[c] for stop in _STOPS]) for c in range(3)]
    return np.stack(channels, axis=-1)


def heat_map(
    image: NDArray[np.uint8], scores: Sequence[Sequence[float]], most: float, crop: float
) -> bytes:
    """
    Colour the part of a picture that the network sees, patch by patch.

    :param image: ``uint8 [H, W, 3]``
    :param scores: importance ``[rows][columns]``, >= 0
    :param most: the score that gets the brightest colour
    :param crop: share of width and height, in the middle, that the patches cover
    :return: a PNG of that part
    """
    seen = _middle(image, crop)
    table = np.asarray(scores, dtype=np.float64)
    down, across = (
        np.arange(side) * count // side
        for side, count in zip(seen.shape, table.shape, strict=False)
    )
    tint = colours(table / (most or 1.0))[down][:, across]
    mixed = (1 - _OPACITY) * seen + _OPACITY * tint
    return _png(np.rint(mixed).astype(np.uint8))


def plain_view(image: NDArray[np.uint8], crop: float) -> bytes:
    """Return a PNG of the same part of a picture as it is; see :func:`heat_map`."""
    return _png(_middle(image, crop))


def scale_bar(width: int = 240, height: int = 12) -> bytes:
    """Return a PNG of all colours, the smallest value on the left."""
    line = colours(np.linspace(0, 1, width))
    return _png(np.rint(np.tile(line, (height, 1, 1))).astype(np.uint8))


def _middle(image: NDArray[np.uint8], crop: float) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    top, left = (round(side * (1 - crop) / 2) for side in (height, width))
    rows, columns = slice(top, height - top), slice(left, width - left)
    return image[rows, columns]


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, 'PNG', optimize=True)
    return buffer.getvalue()
