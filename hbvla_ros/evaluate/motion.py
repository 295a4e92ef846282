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

"""How smooth a sequence of joint targets is, and how often it opens and closes the grippers."""

import math

from hbvla_ros.evaluate.sim.world import GRIPPERS
import numpy as np
from numpy.typing import NDArray

_MIDDLE = 0.5  # of a gripper's range

Floats = NDArray[np.float64]


def mean_jerk(actions: Floats) -> float:
    """
    Return the mean absolute third difference of the joints' targets.

    :param actions: ``[T, 14]``; grippers are left out
    :return: rad per control step cubed; NaN for fewer than four rows
    """
    thirds = np.diff(np.delete(actions, GRIPPERS, axis=1), n=3, axis=0)
    return float(np.abs(thirds).mean()) if thirds.size else math.nan


def gripper_flips(actions: Floats) -> int:
    """
    Count how often a gripper is told to change its side of the middle.

    :param actions: ``[T, 14]``
    :return: of both grippers together
    """
    sides = actions[:, list(GRIPPERS)] > _MIDDLE
    return int((sides[1:] != sides[:-1]).sum())
