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

"""Pictures and joint states out of messages."""

from contextlib import suppress
import io
from types import SimpleNamespace as Message

import cv2
from hbvla_ros.core.decode import compressed_to_rgb, SUPPORTED_ENCODINGS, to_rgb
from hbvla_ros.core.errors import ObservationError
from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
from PIL import Image
import pytest

RED, GREEN, BLUE = (250, 0, 0), (0, 250, 0), (0, 0, 250)
COLOURS = np.array([[RED, GREEN, BLUE], [BLUE, RED, GREEN]], np.uint8)  # [2, 3, 3]
GREYS = np.array([[0, 100, 200], [50, 150, 250]], np.uint8)
TO_WIRE = {
    'rgb8': COLOURS,
    'bgr8': COLOURS[:, :, ::-1],
    'rgba8': np.dstack([COLOURS, GREYS]),
    'bgra8': np.dstack([COLOURS[:, :, ::-1], GREYS]),
    'mono8': GREYS,
    '8UC1': GREYS,
    '8UC3': COLOURS[:, :, ::-1],
    '8UC4': np.dstack([COLOURS[:, :, ::-1], GREYS]),
}


def image_message(encoding='rgb8', pixels=None, padding=0, **changes):
    pixels = TO_WIRE.get(encoding, COLOURS) if pixels is None else pixels
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, -1)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    fields = {
        'encoding': encoding,
        'height': height,
        'width': width,
        'step': rows.shape[1] + padding,
        'data': padded.tobytes(),
    }
    return Message(**{**fields, **changes})


def picture_bytes(kind, size=(24, 32), mode='RGB'):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind)
    return buffer.getvalue()


PNG, JPEG = picture_bytes('PNG'), picture_bytes('JPEG')


def test_every_supported_encoding_is_tested():
    assert set(TO_WIRE) == set(SUPPORTED_ENCODINGS)


@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize('encoding', SUPPORTED_ENCODINGS)
def test_every_encoding_gives_the_same_picture(encoding, padding):
    grey = encoding in ('mono8', '8UC1')
    expected = np.dstack([GREYS] * 3) if grey else COLOURS
    picture = to_rgb(image_message(encoding, padding=padding))
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, expected)


def test_the_last_row_may_come_without_its_padding():
    message = image_message(padding=5)
    message.data = message.data[:-5]
    np.testing.assert_array_equal(to_rgb(message), COLOURS)


def test_the_picture_does_not_follow_the_buffer_of_the_message():
    message = image_message()
    message.data = bytearray(message.data)
    picture = to_rgb(message)
    message.data[:] = bytes(len(message.data))
    np.testing.assert_array_equal(picture, COLOURS)
    assert picture.flags.owndata
    assert picture.flags.writeable


def test_opencv_agrees_on_bgr():
    pixels = np.random.default_rng(1).integers(0, 256, (7, 5, 3)).astype(np.uint8)
    message = image_message('bgr8', pixels)
    np.testing.assert_array_equal(to_rgb(message), cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'encoding': '16UC1'}, "'16UC1' is not supported; depth in millimetres is not a picture"),
        ({'encoding': '32FC1'}, 'depth in metres'),
        ({'encoding': 'yuv422'}, "'yuv422' is not supported; known: rgb8, bgr8"),
        ({'step': 8}, 'image step is 8 bytes, 3 rgb8 pixels need 9'),
        ({'data': bytes(17)}, 'image holds 17 bytes, 18 are needed'),
        ({'data': b''}, 'image holds 0 bytes, 18 are needed'),
        ({'step': 2**31}, 'are needed'),
        ({'height': 0}, 'image size 3x0 is outside'),
        ({'width': 0}, 'image size 0x2 is outside'),
        ({'height': 8193}, 'image size 3x8193 is outside 1..8192'),
        ({'width': 2**32 - 1}, 'is outside 1..8192'),
    ],
)
def test_an_image_that_makes_no_sense_is_refused(changes, message):
    with pytest.raises(ObservationError, match=message):
        to_rgb(image_message(**changes))


@settings(deadline=None)
@given(
    height=st.integers(0, 20), width=st.integers(0, 20), step=st.integers(0, 90),
    size=st.integers(0, 400), encoding=st.sampled_from([*SUPPORTED_ENCODINGS, 'rgb16', '']),
)  # fmt: skip
def test_whatever_the_header_claims_it_is_a_picture_or_an_observation_error(
    height, width, step, size, encoding
):
    message = image_message(encoding, height=height, width=width, step=step, data=bytes(size))
    with suppress(ObservationError):
        assert to_rgb(message).shape == (height, width, 3)


@pytest.mark.parametrize('kind', ['PNG', 'JPEG'])
def test_a_compressed_picture_decodes_to_rgb(kind):
    red = io.BytesIO()
    Image.new('RGB', (16, 8), RED).save(red, kind)
    picture = compressed_to_rgb(Message(format=kind, data=red.getvalue()))
    assert picture.shape == (8, 16, 3)
    # JPEG stores colour differences in 8 bits: two levels off at most.
    assert np.abs(picture.astype(int) - RED).max() <= 2


def test_png_is_exact_and_a_grey_jpeg_has_three_channels():
    np.testing.assert_array_equal(
        compressed_to_rgb(Message(format='png', data=PNG)), np.asarray(Image.open(io.BytesIO(PNG)))
    )
    grey = picture_bytes('JPEG', mode='L')
    assert compressed_to_rgb(Message(format='jpeg', data=grey)).shape == (24, 32, 3)


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (b'', "format 'jpeg', 0 bytes"),
        (b'not a picture at all, but long enough', 'neither JPEG nor PNG'),
        (JPEG[: len(JPEG) // 3], 'does not decode'),
        (PNG[: len(PNG) // 3], 'does not decode'),
        (PNG[:16] + b'\x00\x00\xff\xff' * 2 + PNG[24:], 'image size 65535x65535 is outside'),
        (picture_bytes('PNG', mode='I;16'), 'a depth picture'),
        (picture_bytes('BMP'), 'neither JPEG nor PNG'),
    ],
    ids=['empty', 'text', 'short jpeg', 'short png', 'huge png', 'depth png', 'bmp'],
)
def test_bytes_that_are_no_colour_picture_are_refused(data, message):
    with pytest.raises(ObservationError, match=message):
        compressed_to_rgb(Message(format='jpeg', data=data))


@settings(deadline=None, max_examples=200)
@given(
    source=st.sampled_from([PNG, JPEG]), cut=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4),
)  # fmt: skip
def test_damaged_bytes_are_a_picture_or_an_observation_error(source, cut, flips):
    data = bytearray(source[: int(cut * len(source))])
    for place, value in flips:
        if data:
            data[int(place * (len(data) - 1))] = value
    with suppress(ObservationError):
        assert compressed_to_rgb(Message(format='?', data=data)).shape[2] == 3
