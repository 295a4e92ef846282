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

"""Jerk and gripper flips of joint targets."""

from hbvla_ros.evaluate.motion import gripper_flips, mean_jerk
import numpy as np
import pytest


def test_a_joint_that_accelerates_evenly_has_no_jerk():
    actions = np.zeros((9, 14))
    actions[:, 3] = np.arange(9.0) ** 2
    assert mean_jerk(actions) == pytest.approx(0, abs=1e-12)


def test_the_jerk_of_a_cubic_is_six_shared_among_twelve_joints():
    actions = np.zeros((9, 14))
    actions[:, 3] = -(np.arange(9.0) ** 3)
    assert mean_jerk(actions) == pytest.approx(6 / 12)


def test_grippers_have_no_part_in_the_jerk():
    actions = np.zeros((9, 14))
    actions[:, [6, 13]] = np.random.default_rng(0).random((9, 2))
    assert mean_jerk(actions) == 0


def test_fewer_than_four_targets_have_no_jerk_to_measure():
    assert np.isnan(mean_jerk(np.zeros((3, 14))))


def test_flips_of_both_grippers_are_counted():
    actions = np.zeros((6, 14))
    actions[:, 6] = [1, 1, 0, 0, 1, 1]
    actions[:, 13] = [0.6, 0.4, 0.4, 0.4, 0.4, 0.45]
    assert gripper_flips(actions) == 2 + 1
