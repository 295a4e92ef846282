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

"""Pictures against OpenCV, and against cv_bridge where it can be imported."""

import logging
from typing import Any

import cv2
from hbvla_ros.core.decode import SUPPORTED_ENCODINGS
from hbvla_ros.core.errors import ObservationError
from hbvla_ros.ros.images import CV_BRIDGE_ENCODINGS, image_message, ImageDecoder
import numpy as np
from numpy.typing import NDArray
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image

pytestmark = pytest.mark.ros
TO_RGB = {
    'rgb8': None,
    'bgr8': cv2.COLOR_BGR2RGB,
    'rgba8': cv2.COLOR_RGBA2RGB,
    'bgra8': cv2.COLOR_BGRA2RGB,
    'mono8': cv2.COLOR_GRAY2RGB,
    '8UC1': cv2.COLOR_GRAY2RGB,
    '8UC3': cv2.COLOR_BGR2RGB,
    '8UC4': cv2.COLOR_BGRA2RGB,
}
CHANNELS = {'mono8': 1, '8UC1': 1, 'rgba8': 4, 'bgra8': 4, '8UC4': 4}


def wire(encoding: str) -> NDArray[np.uint8]:
    """Return random numbers of the shape that an encoding has."""
    shape = (7, 5, CHANNELS.get(encoding, 3))
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def sent(picture: NDArray[np.uint8], encoding: str) -> Any:
    """Return a message as it arrives: ``data`` is what deserialization makes of it."""
    raw = serialize_message(image_message(picture, 3, encoding=encoding, frame_id='cam'))
    return deserialize_message(raw, Image)


def never(message: Any) -> Any:
    pytest.fail(f'{message.encoding} must not go to cv_bridge')


def test_opencv_is_asked_about_every_encoding_that_we_decode() -> None:
    assert set(TO_RGB) == set(SUPPORTED_ENCODINGS)


@pytest.mark.parametrize('encoding', SUPPORTED_ENCODINGS)
def test_the_decoder_agrees_with_opencv(encoding: str) -> None:
    picture = wire(encoding)
    code = TO_RGB[encoding]
    expected = picture if code is None else cv2.cvtColor(picture, code)

    decoded = ImageDecoder('auto', lambda: never).decode(sent(picture, encoding))
    assert np.array_equal(decoded, expected)


@pytest.mark.parametrize('encoding', SUPPORTED_ENCODINGS)
def test_the_decoder_agrees_with_cv_bridge(encoding: str) -> None:
    module = pytest.importorskip('cv_bridge', reason='cv_bridge comes with a ROS installation')
    message = sent(wire(encoding), encoding)
    # A matrix without a colour order has OpenCV's own, which cv_bridge does not assume.
    message.encoding = message.encoding.replace('8UC3', 'bgr8').replace('8UC4', 'bgra8')
    expected = module.CvBridge().imgmsg_to_cv2(message, 'rgb8')

    assert np.array_equal(ImageDecoder('never').decode(message), expected)


def test_a_picture_belongs_to_the_caller() -> None:
    message = sent(wire('rgb8'), 'rgb8')
    decoded = ImageDecoder('never').decode(message)
    before = decoded.copy()
    np.frombuffer(message.data, dtype=np.uint8)[:] = 0

    assert np.array_equal(decoded, before)


def test_a_message_carries_stamp_frame_and_step() -> None:
    message = sent(wire('mono8')[..., 0], 'mono8')

    assert (message.height, message.width, message.step) == (7, 5, 5)
    assert message.header.frame_id == 'cam'
    assert message.header.stamp.nanosec == 3


def test_a_view_is_sent_without_its_gaps() -> None:
    picture = wire('rgb8')[:, 1:4]
    message = sent(picture, 'rgb8')

    assert message.step == 9
    assert np.array_equal(ImageDecoder('never').decode(message), picture)


@pytest.mark.parametrize('encoding', CV_BRIDGE_ENCODINGS)
def test_encodings_that_we_lack_go_to_cv_bridge(encoding: str) -> None:
    answer = np.full((1, 1, 3), 9, dtype=np.uint8)
    decoder = ImageDecoder('auto', lambda: lambda message: answer)

    assert np.array_equal(decoder.decode(Image(encoding=encoding)), answer)


def test_cv_bridge_is_imported_once_and_only_when_needed() -> None:
    loads = []

    def load() -> Any:
        loads.append(1)
        return lambda message: np.zeros((1, 1, 3), dtype=np.uint8)

    decoder = ImageDecoder('auto', load)
    decoder.decode(sent(wire('rgb8'), 'rgb8'))
    assert loads == []
    decoder.decode(Image(encoding='mono16'))
    decoder.decode(Image(encoding='mono16'))
    assert loads == [1]


def test_a_cv_bridge_that_does_not_import_is_announced_once_with_the_fix(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def load() -> Any:
        raise AttributeError('_ARRAY_API not found')

    decoder = ImageDecoder('auto', load)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            with pytest.raises(ObservationError, match="'bayer_rggb8' is not supported; known"):
                decoder.decode(Image(encoding='bayer_rggb8'))

    [record] = caplog.records
    assert 'AttributeError: _ARRAY_API not found' in record.getMessage()
    assert 'numpy<2' in record.getMessage()


def test_cv_bridge_can_be_forbidden() -> None:
    with pytest.raises(ObservationError, match="'mono16' is not supported"):
        ImageDecoder('never', lambda: never).decode(Image(encoding='mono16'))


def test_what_cv_bridge_can_not_convert_is_refused_like_any_bad_image() -> None:
    def convert(message: Any) -> Any:
        raise ValueError('cannot reshape')

    with pytest.raises(ObservationError, match='mono16 image of 4x3: cannot reshape'):
        ImageDecoder('auto', lambda: convert).decode(Image(encoding='mono16', width=4, height=3))


@pytest.mark.parametrize('encoding', ['16UC1', '32FC1'])
def test_depth_is_refused_with_the_reason(encoding: str) -> None:
    with pytest.raises(ObservationError, match=r'depth in .* is not a picture'):
        ImageDecoder('auto', lambda: never).decode(Image(encoding=encoding))
