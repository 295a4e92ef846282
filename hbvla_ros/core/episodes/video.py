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

"""Pictures out of video files, by time."""

from pathlib import Path
from typing import Any

from hbvla_ros.core.episodes.packages import needed, reading
from hbvla_ros.core.errors import CalibrationError
import numpy as np
from numpy.typing import NDArray

_ROUNDING_S = 1e-4  # stamps are stored as float32 seconds, and videos count in units of their own


def frame_at(path: Path, time_s: float, period_s: float) -> NDArray[np.uint8]:
    """
    Decode the frame nearest to an instant.

    :param path: a video that av (FFmpeg) reads, for example AV1, H.264 or HEVC
    :param time_s: seconds on the video's own time line
    :param period_s: time between frames; a frame further away than half of it does not count
    :return: ``uint8 [H, W, 3]`` RGB
    :raises CalibrationError: if there is no such frame or the file is damaged
    :raises ConfigError: if av is not installed
    """
    av = needed('av', f'{path}: a video')
    with reading(path, 'video'), av.open(str(path)) as container:
        frame = _nearest(container, time_s, period_s)
        distance = float('inf') if frame is None else abs(frame.time - time_s)
        if distance > period_s / 2 + _ROUNDING_S:
            raise CalibrationError(
                f'{path}: no frame within {period_s / 2:.4f} s of {time_s:.3f} s, '
                f'the nearest is {distance:.4f} s away'
            )
        picture: NDArray[np.uint8] = frame.to_ndarray(format='rgb24')
        return picture


def _nearest(container: Any, time_s: float, period_s: float) -> Any:
    stream = container.streams.video[0]
    # Half a period early, so that the key frame found lies before the frame that we want.
    start = max(0.0, time_s - period_s / 2)
    container.seek(int(start / stream.time_base), stream=stream, backward=True)
    best = None
    for frame in container.decode(stream):
        if frame.time is None:
            continue
        if best is None or abs(frame.time - time_s) < abs(best.time - time_s):
            best = frame
        if frame.time >= time_s:
            break
    return best
