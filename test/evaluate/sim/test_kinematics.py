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

"""The closed formulas of the arm, against MuJoCo's own kinematics."""

import math

from hbvla_ros.core.errors import ConfigError
from hbvla_ros.evaluate.sim.kinematics import LEFT, reach_for, RIGHT, tip_position
from hbvla_ros.evaluate.sim.world import AlohaWorld, arm_slice, HOME, home_state
from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

ARMS = (LEFT, RIGHT)
workspace = st.tuples(st.floats(-0.12, 0.12), st.floats(0.4, 0.6), st.floats(0.02, 0.2))


@given(point=workspace, arm=st.sampled_from(ARMS), pitch=st.floats(0.9, 1.3))
def test_reaching_for_a_point_brings_the_tip_there(point, arm, pitch):
    joints = reach_for(arm, np.array(point), pitch)
    np.testing.assert_allclose(tip_position(arm, joints), point, atol=1e-9)
    assert joints[1] + joints[2] + joints[4] == pytest.approx(pitch)


@given(point=workspace)
def test_the_arms_are_the_same_arm_turned_by_half_a_turn(point):
    x, y, z = point
    left = reach_for(LEFT, np.array([x, y, z]), 1.15)
    right = reach_for(RIGHT, np.array([-x, 1 - y, z]), 1.15)
    np.testing.assert_allclose(left, right, atol=1e-12)


@pytest.mark.sim
@pytest.mark.parametrize('arm', ARMS)
def test_mujoco_sees_the_tip_where_the_formula_has_it(arm: int, world: AlohaWorld) -> None:
    for point in ([0.1, 0.42, 0.03], [-0.05, 0.6, 0.16], [0.0, 0.5, 0.25]):
        pose = home_state()
        pose[arm_slice(arm)] = reach_for(arm, np.array(point), 0.8)
        world.place_arms(pose)
        position, axes = world.gripper(arm)
        np.testing.assert_allclose(position, point, atol=1e-5)  # lengths in the MJCF are rounded
        assert -axes[2, 0] == pytest.approx(math.sin(0.8))


def test_the_home_pose_by_hand():
    # The shoulder leans back by 0.96, so the elbow lies 0.3058 * sin(-0.764) = -0.2117 behind it;
    # forearm (0.3, falling 0.2) and hand (0.1947, rising 0.1) add 0.2940 and 0.1938.
    position = tip_position(LEFT, HOME)
    assert position[0] == pytest.approx(-0.469 - 0.2117 + 0.2940 + 0.1938, abs=2e-4)
    assert position[1] == 0.5


def test_a_point_out_of_reach_is_refused_with_its_place():
    with pytest.raises(ConfigError, match=r'left arm can not reach \[0\.6, 0\.5, 0\.1\]'):
        reach_for(LEFT, np.array([0.6, 0.5, 0.1]), 1.15)
