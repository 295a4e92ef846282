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

"""What an observation accepts."""

from hbvla_ros.core.errors import ObservationError
from hbvla_ros.core.observation import check_instruction, MAX_INSTRUCTION_CHARS, Observation
import numpy as np
import pytest

IMAGE = np.zeros((4, 6, 3), np.uint8)
STATE = np.zeros(2, np.float32)


def make(**changes):
    parts = {'images': {'cam': IMAGE}, 'state': STATE, 'instruction': 'go', 'stamp_ns': 0}
    return Observation(**{**parts, **changes})


def test_a_sound_observation_keeps_its_parts():
    observation = make(stamp_ns=5)
    assert observation.images['cam'] is IMAGE
    assert (observation.instruction, observation.stamp_ns) == ('go', 5)


def test_a_robot_without_joints_has_an_empty_state():
    assert make(state=np.zeros(0, np.float32)).state.size == 0


@pytest.mark.parametrize(
    'image',
    [
        IMAGE.astype(np.float32),
        IMAGE[:, :, 0],
        np.zeros((4, 6, 4), np.uint8),
        np.zeros((0, 6, 3), np.uint8),
        IMAGE[None],
    ],
    ids=['float', 'grey', 'alpha', 'empty', 'batch'],
)
def test_another_kind_of_picture_is_refused_with_the_camera(image):
    with pytest.raises(ObservationError, match=r'camera cam: expected uint8 \[H, W, 3\] RGB, got'):
        make(images={'cam': image})


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_a_state_that_is_not_finite_is_refused(value):
    with pytest.raises(ObservationError, match='finite vector'):
        make(state=np.array([0, value], np.float32))


def test_a_state_must_be_a_vector():
    with pytest.raises(ObservationError, match=r'shape \(1, 2\)'):
        make(state=STATE[None])


@pytest.mark.parametrize('text', ['', '   ', '\n\t'])
def test_an_empty_instruction_is_refused(text):
    with pytest.raises(ObservationError, match='instruction is empty'):
        check_instruction(text)


def test_white_space_around_an_instruction_is_dropped():
    assert check_instruction('  pick up the cup \n') == 'pick up the cup'


def test_the_longest_instruction_fits_and_one_more_does_not():
    assert len(check_instruction(' ' + 'x' * MAX_INSTRUCTION_CHARS)) == MAX_INSTRUCTION_CHARS
    with pytest.raises(ObservationError, match=f'{MAX_INSTRUCTION_CHARS + 1} characters'):
        check_instruction('x' * (MAX_INSTRUCTION_CHARS + 1))
