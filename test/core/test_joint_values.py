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

"""Joint states, read by name."""

from array import array
from types import SimpleNamespace as Message

from hbvla_ros.core.decode import joint_values
from hbvla_ros.core.errors import ObservationError
from hbvla_ros.core.robot import JointGroup, JointSpec
from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

ARM = JointGroup(
    topic='arm/states',
    joints=(
        JointSpec(name='waist', wire='w'),
        JointSpec(name='elbow', wire='e'),
        JointSpec(name='grip', wire='g', closed=0.5, open=2.5),
    ),
)
POSITIONS = {'w': 0.25, 'e': -1.5, 'g': 1.0}


def message(positions):
    return Message(name=list(positions), position=array('d', positions.values()))


def test_values_come_in_our_order_with_the_gripper_as_a_share():
    values = joint_values(message(POSITIONS), ARM)
    assert values.dtype == np.float32
    assert values.tolist() == [0.25, -1.5, 0.25]  # (1.0 - 0.5) / (2.5 - 0.5)


@given(order=st.permutations([*POSITIONS, 'extra']))
def test_the_order_on_the_wire_and_extra_joints_do_not_matter(order):
    shuffled = {name: POSITIONS.get(name, 99.0) for name in order}
    assert joint_values(message(shuffled), ARM).tolist() == [0.25, -1.5, 0.25]


def test_a_missing_joint_is_named():
    with pytest.raises(
        ObservationError, match=r"arm/states lacks position of \['e'\]; it has \['g', 'w'\]"
    ):
        joint_values(message({'w': 0.0, 'g': 1.0}), ARM)


def test_a_message_with_names_but_too_few_positions_is_refused():
    with pytest.raises(ObservationError, match=r"lacks position of \['e', 'g'\]"):
        joint_values(Message(name=['w', 'e', 'g'], position=array('d', [0.1])), ARM)


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf, 1e300])
def test_a_position_that_is_not_a_finite_float_is_named(value):
    with pytest.raises(ObservationError, match=r"position of \['e'\] is not finite"):
        joint_values(message({**POSITIONS, 'e': value}), ARM)


def test_a_broken_joint_that_nobody_reads_does_not_matter():
    assert joint_values(message({**POSITIONS, 'camera_tilt': np.nan}), ARM).size == 3
