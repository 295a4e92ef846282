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

"""Important patches are bright, in their place."""

import io

from hbvla_ros.quantize.heat import colours, heat_map, plain_view, scale_bar
from hypothesis import given
from hypothesis import strategies as st
import numpy as np
from PIL import Image
import pytest


def _pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert('RGB')).astype(int)


def _brightness(colour):
    return np.asarray(colour) @ (0.2126, 0.7152, 0.0722)


@given(st.floats(0, 1), st.floats(0, 1))
def test_more_is_brighter(one, other):
    low, high = sorted((one, other))
    assert _brightness(colours(np.array(low))) <= _brightness(colours(np.array(high))) + 1e-9


def test_each_patch_covers_its_part_of_the_picture():
    grey = np.full((40, 60, 3), 100, np.uint8)
    shown = _pixels(heat_map(grey, [[0.0, 4.0, 0.0], [0.0, 0.0, 2.0]], 4.0, 1.0))
    assert shown.shape == (40, 60, 3)
    bright = _brightness(shown)
    assert (bright[:20, 20:40] == bright.max()).all()
    assert (bright == bright.max()).sum() == 20 * 20
    # 0.4 of the grey picture and 0.6 of the darkest colour (0, 0, 4)
    assert shown[0, 0].tolist() == [40, 40, 42]
    middle = np.rint(0.4 * 100 + 0.6 * np.array([188, 55, 84]))  # half of the largest score
    assert shown[30, 50].tolist() == middle.tolist()


def test_only_what_the_network_sees_is_shown():
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[10:90, 20:180] = 200
    shown = _pixels(heat_map(picture, [[0.0]], 1.0, 0.8))
    assert shown.shape == (80, 160, 3)
    assert (shown[..., 0] == 80).all()
    assert (_pixels(plain_view(picture, 0.8)) == np.full((80, 160, 3), 200)).all()


def test_sides_that_patches_do_not_divide_are_covered_too():
    shown = _pixels(heat_map(np.zeros((7, 5, 3), np.uint8), [[1.0, 0.0]] * 3, 1.0, 1.0))
    assert shown.shape == (7, 5, 3)


def test_no_importance_at_all_is_dark():
    shown = _pixels(heat_map(np.zeros((4, 4, 3), np.uint8), [[0.0]], 0.0, 1.0))
    assert shown.max() == pytest.approx(0.6 * 4, abs=1)


def test_the_scale_goes_from_dark_to_bright():
    line = _brightness(_pixels(scale_bar())[0])
    assert (np.diff(line) >= -1).all()  # a grey level of rounding
    assert line[-1] > 10 * line[0]
