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

"""The make-believe scene."""

from hbvla_ros.core.scene import INSTRUCTION, Scene, synthetic_observations
import numpy as np


def square_centre(image):
    """Return row and column of the bright square."""
    bright = (image.max(axis=2) >= 235) & (image.min(axis=2) <= 35)
    return np.argwhere(bright).mean(axis=0)


def test_equal_seeds_show_equal_worlds_and_others_differ(tiny):
    one, two = Scene(tiny, 7), Scene(tiny, 7)
    np.testing.assert_array_equal(one.state(1.5), two.state(1.5))
    np.testing.assert_array_equal(one.image('top', 1.5), two.image('top', 1.5))
    assert not np.array_equal(one.image('top', 1.5), Scene(tiny, 8).image('top', 1.5))


def test_motion_is_smooth_and_pictures_follow_it(tiny):
    scene = Scene(tiny, 1)
    steps = np.array([scene.state(0.02 * k) for k in range(200)])
    # Half of max_velocity 3 at 50 Hz is 0.03 per step.
    assert 0 < np.abs(np.diff(steps, axis=0)).max() <= 0.031
    places = np.array([square_centre(scene.image('top', 0.5 * k)) for k in range(8)])
    assert np.ptp(places, axis=0).max() > 5  # pixels


def test_a_picture_has_the_size_asked_for_and_belongs_to_the_caller(tiny):
    scene = Scene(tiny, 0, size=(48, 80))
    first = scene.image('side', 0.0)
    assert first.shape == (48, 80, 3)
    first[:] = 0
    assert scene.image('side', 0.0).any()


def test_an_observation_has_all_cameras_and_the_time_as_stamp(tiny):
    observation = Scene(tiny, 0).observation(2.5, 'fold the towel')
    assert list(observation.images) == ['top', 'side']
    assert observation.state.shape == (3,)
    assert (observation.instruction, observation.stamp_ns) == ('fold the towel', 2_500_000_000)


def test_synthetic_observations_are_different_scenes_a_second_apart(tiny):
    first, second, third = synthetic_observations(tiny, 3, seed=5, size=(24, 32))
    assert [o.stamp_ns for o in (first, second, third)] == [0, 10**9, 2 * 10**9]
    assert first.instruction == INSTRUCTION
    assert not np.array_equal(first.images['top'], second.images['top'])
    again = synthetic_observations(tiny, 3, seed=5, size=(24, 32))
    np.testing.assert_array_equal(third.images['side'], again[2].images['side'])
