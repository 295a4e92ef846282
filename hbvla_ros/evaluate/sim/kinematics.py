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
Where the gripper is for given joints, and back, for one ViperX 300 arm.

With forearm and wrist not rolled the arm is planar: the waist turns a vertical plane in which
shoulder, elbow and wrist angle move the tip. So the way back is a closed formula (elbow up).
Lengths are those of gym-aloha's MJCF; a test compares with MuJoCo. Units: m and rad.
"""

import math

from hbvla_ros.core.errors import ConfigError
import numpy as np
from numpy.typing import NDArray

LEFT, RIGHT = 0, 1
ARM_JOINTS = 6
BASE_X = (-0.469, 0.469)
BASE_Y = 0.5
TIP = 0.125  # from the gripper's origin to between its fingertips
# waist, shoulder, elbow, forearm_roll, wrist_angle, wrist_rotate
LOWER = np.array([-3.14158, -1.85005, -1.76278, -3.14158, -1.8675, -3.14158])
UPPER = np.array([3.14158, 1.25664, 1.6057, 3.14158, 2.23402, 3.14158])

_SHOULDER_Z = 0.079 + 0.04805
_UPPER_ARM = math.hypot(0.05955, 0.3)
_UPPER_ARM_TILT = math.atan2(0.05955, 0.3)  # of the line shoulder to elbow from the vertical
_FOREARM = 0.2 + 0.1
_HAND = 0.069744 + TIP

Vector = NDArray[np.float64]


def tip_position(arm: int, joints: Vector) -> Vector:
    """
    Return where the point between the fingertips is.

    :param arm: ``LEFT`` or ``RIGHT``
    :param joints: the six joint angles; both rolls are taken as 0
    :return: ``[x, y, z]`` in the world
    """
    waist, shoulder, elbow, _, wrist, _ = joints
    lean = _UPPER_ARM_TILT + shoulder
    drop = shoulder + elbow
    pitch = drop + wrist
    reach = _UPPER_ARM * math.sin(lean) + _FOREARM * math.cos(drop) + _HAND * math.cos(pitch)
    fall = _FOREARM * math.sin(drop) + _HAND * math.sin(pitch)
    height = _SHOULDER_Z + _UPPER_ARM * math.cos(lean) - fall
    side = (1, -1)[arm]
    x = BASE_X[arm] + side * reach * math.cos(waist)
    return np.array([x, BASE_Y + side * reach * math.sin(waist), height])


def reach_for(arm: int, point: Vector, pitch: float, rotate: float = 0.0) -> Vector:
    """
    Return the joint angles that bring the tip to a point.

    :param arm: ``LEFT`` or ``RIGHT``
    :param point: ``[x, y, z]`` in the world
    :param pitch: downward tilt of the gripper
    :param rotate: turn of the gripper about its own axis
    :return: ``float64 [6]``
    :raises ConfigError: if the point is out of reach
    """
    side = (1, -1)[arm]
    ahead, across = side * (point[0] - BASE_X[arm]), side * (point[1] - BASE_Y)
    x = math.hypot(ahead, across) - _HAND * math.cos(pitch)
    z = point[2] - _SHOULDER_Z + _HAND * math.sin(pitch)
    bend = (x * x + z * z - _UPPER_ARM**2 - _FOREARM**2) / (2 * _UPPER_ARM * _FOREARM)
    fold = math.asin(min(max(bend, -1.0), 1.0))  # angle of the upper arm over the forearm
    along, above = _UPPER_ARM * math.sin(fold) + _FOREARM, _UPPER_ARM * math.cos(fold)
    drop = math.atan2(above * x - along * z, along * x + above * z)
    shoulder = drop + fold - _UPPER_ARM_TILT
    joints = [math.atan2(across, ahead), shoulder, drop - shoulder, 0.0, pitch - drop, rotate]
    found = np.array(joints)
    if abs(bend) > 1 or (found < LOWER).any() or (found > UPPER).any():
        raise ConfigError(
            f'the {("left", "right")[arm]} arm can not reach {np.round(point, 3).tolist()} m '
            f'with its gripper tilted by {pitch:.2f} rad'
        )
    return found
