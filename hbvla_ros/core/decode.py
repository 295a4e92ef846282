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
Fields of ROS messages to numpy, for live messages and for messages read from a bag alike.

Nothing here imports ROS: a message is anything with the right attributes. Images come out as
``uint8 [H, W, 3]`` RGB that the caller owns (a view of a message's buffer must not be kept).
"""

import io
import struct
from typing import Any

from hbvla_ros.core.errors import ObservationError
from hbvla_ros.core.robot import JointGroup
import numpy as np
from numpy.typing import NDArray

_FORWARD, _BACKWARD = slice(0, 3), slice(2, None, -1)
# encoding: (channels, where R, G, B lie among them); one channel is repeated
_COLOURS = {
    'rgb8': (3, _FORWARD),
    'bgr8': (3, _BACKWARD),
    'rgba8': (4, _FORWARD),
    'bgra8': (4, _BACKWARD),
    'mono8': (1, _FORWARD),
    '8UC1': (1, _FORWARD),
    '8UC3': (3, _BACKWARD),  # OpenCV's own order
    '8UC4': (4, _BACKWARD),
}
_REASONS = {
    '16UC1': 'depth in millimetres is not a picture; give the colour topic of that camera',
    '32FC1': 'depth in metres is not a picture; give the colour topic of that camera',
}
MAX_SIDE = 8192  # pixels; larger claims are damage, not cameras
SUPPORTED_ENCODINGS = tuple(_COLOURS)


def to_rgb(message: Any) -> NDArray[np.uint8]:
    """
    Convert a ``sensor_msgs/Image``.

    :param message: has ``encoding, height, width, step, data``; rows may be padded to ``step``
    :return: ``uint8 [height, width, 3]`` RGB, a copy
    :raises ObservationError: for another encoding, an impossible size or step, a short buffer
    """
    encoding = message.encoding
    if encoding not in _COLOURS:
        reason = _REASONS.get(encoding, f'known: {", ".join(_COLOURS)}')
        raise ObservationError(f'image encoding {encoding!r} is not supported; {reason}')
    channels, order = _COLOURS[encoding]
    height, width, step = int(message.height), int(message.width), int(message.step)
    _check_side(width, height)
    if step < width * channels:
        raise ObservationError(
            f'image step is {step} bytes, {width} {encoding} pixels need {width * channels}'
        )
    flat = np.frombuffer(message.data, dtype=np.uint8)
    # The last row may come without its padding.
    needed = step * (height - 1) + width * channels
    if flat.size < needed:
        raise ObservationError(f'image holds {flat.size} bytes, {needed} are needed')
    rows = np.lib.stride_tricks.as_strided(
        flat, (height, width, channels), (step, channels, 1), writeable=False
    )
    # Slices and not an index array: rgb8 becomes one plain copy.
    return np.array(np.broadcast_to(rows[:, :, order], (height, width, 3)), order='C')


def compressed_to_rgb(message: Any) -> NDArray[np.uint8]:
    """
    Convert a ``sensor_msgs/CompressedImage`` (JPEG or PNG).

    :param message: has ``format`` and ``data``
    :return: ``uint8 [height, width, 3]`` RGB
    :raises ObservationError: if the bytes are no picture, or an unreasonably large one
    """
    import simplejpeg  # only robots with compressed cameras need the decoders

    data = bytes(memoryview(message.data))
    try:
        if data[:2] == b'\xff\xd8':
            height, width, _, _ = simplejpeg.decode_jpeg_header(data)
            _check_side(width, height)
            picture: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, fastdct=True)
            return picture
        return _decode_png(data)
    except (ValueError, OSError, SyntaxError) as error:  # SyntaxError: a broken chunk of a PNG
        raise ObservationError(
            f'compressed image (format {message.format!r}, {len(data)} bytes) does not decode: '
            f'{error}'
        ) from error


def _decode_png(data: bytes) -> NDArray[np.uint8]:
    from PIL import Image

    if data[:8] != b'\x89PNG\r\n\x1a\n' or len(data) < 24:
        raise ObservationError('neither JPEG nor PNG')
    # Before the decoder allocates anything; the header chunk always comes first.
    _check_side(*struct.unpack('>II', data[16:24]))
    with Image.open(io.BytesIO(data), formats=('PNG',)) as image:
        if image.mode.startswith(('I', 'F')):
            raise ObservationError(f'a depth picture (mode {image.mode}); {_REASONS["16UC1"]}')
        return np.asarray(image.convert('RGB'))


def _check_side(width: int, height: int) -> None:
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
        raise ObservationError(f'image size {width}x{height} is outside 1..{MAX_SIDE}')


def joint_values(message: Any, group: JointGroup) -> NDArray[np.float32]:
    """
    Read the joints of one ``sensor_msgs/JointState`` by name, in the order of the robot file.

    :param message: has ``name`` and ``position`` (rad or m); order and extra joints do not matter
    :param group: which joints to read
    :return: ``float32 [len(group.joints)]`` in the policy's units
    :raises ObservationError: if a joint is absent or its position is not finite
    """
    positions = dict(zip(message.name, message.position, strict=False))
    missing = [joint.wire for joint in group.joints if joint.wire not in positions]
    if missing:
        raise ObservationError(
            f'{group.topic} lacks position of {missing}; it has {sorted(positions)}'
        )
    readings = np.array([joint.from_wire(positions[joint.wire]) for joint in group.joints])
    with np.errstate(over='ignore'):  # a reading beyond float32 becomes infinite and is refused
        values = readings.astype(np.float32)
    if not np.isfinite(values).all():
        bad = [
            joint.wire for joint, x in zip(group.joints, values, strict=True) if not np.isfinite(x)
        ]
        raise ObservationError(f'{group.topic}: position of {bad} is not finite')
    return values
