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

"""Newest samples and when they make an observation."""

from hbvla_ros.core.errors import ConfigError, ObservationError
from hbvla_ros.core.latest import FreshnessConfig, Missing, ObservationAssembler
from hbvla_ros.core.observation import Observation
import numpy as np
import pytest

MS = 1_000_000
S = 1_000 * MS
FRESHNESS = FreshnessConfig(max_image_age_s=0.2, max_state_age_s=0.1, max_sync_skew_s=0.05)


def picture(value=0):
    return np.full((4, 4, 3), value, np.uint8)


@pytest.fixture
def assembler(tiny):
    return ObservationAssembler(tiny, FRESHNESS)


def fill(assembler, stamp_ns, *, skew_ns=0):
    assembler.set_instruction('go')
    assembler.add_image('top', picture(1), stamp_ns)
    assembler.add_image('side', picture(2), stamp_ns - skew_ns)
    assembler.add_state('arm/states', np.array([0.1, 0.2], np.float32), stamp_ns)
    assembler.add_state('base/states', np.array([0.3], np.float32), stamp_ns)


def reason(result):
    assert isinstance(result, Missing)
    return result.reason


def test_a_full_set_makes_an_observation_in_the_order_of_the_robot_file(assembler):
    fill(assembler, 5 * S, skew_ns=20 * MS)
    observation = assembler.assemble(5 * S + 30 * MS)
    assert isinstance(observation, Observation)
    assert list(observation.images) == ['top', 'side']
    np.testing.assert_allclose(observation.state, [0.1, 0.2, 0.3])
    assert observation.state.dtype == np.float32
    assert observation.instruction == 'go'
    assert observation.stamp_ns == 5 * S - 20 * MS  # the oldest image


def test_nothing_is_assembled_before_every_source_was_seen(assembler):
    steps = [
        ('no_instruction', lambda: assembler.set_instruction('go')),
        ('no_image_top', lambda: assembler.add_image('top', picture(), 0)),
        ('no_image_side', lambda: assembler.add_image('side', picture(), 0)),
        ('no_state_arm/states', lambda: assembler.add_state('arm/states', np.zeros(2), 0)),
        ('no_state_base/states', lambda: assembler.add_state('base/states', np.zeros(1), 0)),
    ]
    for missing, add in steps:
        assert reason(assembler.assemble(0)) == missing
        add()
    assert isinstance(assembler.assemble(0), Observation)


@pytest.mark.parametrize(
    ('age_ms', 'stale'),
    [(100, None), (101, 'stale_state_arm/states'), (201, 'stale_image_top')],
)
def test_age_is_counted_to_the_millisecond(assembler, age_ms, stale):
    fill(assembler, 5 * S)
    result = assembler.assemble(5 * S + age_ms * MS)
    assert isinstance(result, Observation) if stale is None else reason(result) == stale


def test_the_detail_names_the_camera_the_age_and_the_limit(assembler):
    fill(assembler, 0)
    detail = assembler.assemble(300 * MS).detail
    assert detail == 'image top is 300 ms old (limit 200 ms)'


def test_one_camera_that_stops_is_noticed_while_the_other_goes_on(assembler):
    for step in range(10):
        assembler.add_image('top', picture(), step * 100 * MS)
    fill_rest = (('arm/states', 2), ('base/states', 1))
    for topic, size in fill_rest:
        assembler.add_state(topic, np.zeros(size), 900 * MS)
    assembler.add_image('side', picture(), 600 * MS)
    assembler.set_instruction('go')
    assert reason(assembler.assemble(900 * MS)) == 'stale_image_side'


@pytest.mark.parametrize(('skew_ms', 'fine'), [(50, True), (51, False)])
def test_images_too_far_apart_do_not_belong_together(assembler, skew_ms, fine):
    fill(assembler, 5 * S, skew_ns=skew_ms * MS)
    result = assembler.assemble(5 * S)
    assert isinstance(result, Observation) if fine else reason(result) == 'camera_skew'


def test_a_source_far_ahead_of_the_clock_is_not_fresh(assembler):
    fill(assembler, 5 * S)
    assembler.add_image('top', picture(), 65 * S)
    result = assembler.assemble(5 * S)
    assert reason(result) == 'future_image_top'
    assert '60000 ms ahead of the clock' in result.detail


def test_a_source_a_little_ahead_is_fine(assembler):
    fill(assembler, 5 * S)
    assert isinstance(assembler.assemble(5 * S - 90 * MS), Observation)


def test_an_older_sample_does_not_replace_a_newer_one(assembler):
    fill(assembler, 5 * S)
    assert not assembler.add_image('top', picture(99), 5 * S - 1)
    assert not assembler.add_state('base/states', np.array([9.0], np.float32), 5 * S - 1)
    observation = assembler.assemble(5 * S)
    assert observation.images['top'][0, 0, 0] == 1
    assert observation.state[2] == np.float32(0.3)


def test_a_sample_of_the_same_stamp_replaces(assembler):
    fill(assembler, 5 * S)
    assert assembler.add_image('top', picture(42), 5 * S)
    assert assembler.assemble(5 * S).images['top'][0, 0, 0] == 42


def test_time_that_jumps_back_empties_everything_but_the_instruction(assembler):
    fill(assembler, 5 * S)
    assert assembler.add_image('top', picture(), 4 * S)
    assert assembler.resets == 1
    assert reason(assembler.assemble(4 * S)) == 'no_image_side'
    fill(assembler, 4 * S)
    assert isinstance(assembler.assemble(4 * S), Observation)


def test_a_small_step_back_is_disorder_and_no_reset(assembler):
    fill(assembler, 5 * S)
    assert not assembler.add_image('top', picture(), 4 * S + 1)
    assert assembler.resets == 0


def test_a_clock_that_jumps_back_alone_gives_nothing(assembler):
    fill(assembler, 5 * S)
    assert reason(assembler.assemble(1 * S)) == 'future_image_top'


def test_clearing_keeps_the_instruction(assembler):
    fill(assembler, 5 * S)
    assembler.clear()
    assert assembler.instruction == 'go'
    assert reason(assembler.assemble(5 * S)) == 'no_image_top'


def test_only_a_different_instruction_is_a_change(assembler):
    assert assembler.set_instruction('go')
    assert not assembler.set_instruction(' go ')
    assert assembler.set_instruction('stop')


@pytest.mark.parametrize('text', ['', '   ', 'x' * 513])
def test_a_bad_instruction_also_drops_the_one_before(assembler, text):
    fill(assembler, 5 * S)
    with pytest.raises(ObservationError):
        assembler.set_instruction(text)
    assert reason(assembler.assemble(5 * S)) == 'no_instruction'


def test_a_picture_of_the_wrong_kind_is_refused_on_arrival(assembler):
    with pytest.raises(ObservationError, match='camera top'):
        assembler.add_image('top', np.zeros((4, 4), np.uint8), 0)
    assert reason(ObservationAssembler.assemble(assembler, 0)) == 'no_instruction'


def test_what_was_handed_out_does_not_change_later(assembler):
    fill(assembler, 5 * S)
    before = assembler.assemble(5 * S)
    assembler.add_image('top', picture(99), 5 * S + MS)
    assembler.add_state('base/states', np.array([9.0], np.float32), 5 * S + MS)
    assert before.images['top'][0, 0, 0] == 1
    assert before.state[2] == np.float32(0.3)


@pytest.mark.parametrize('value', [0.0, -1.0, float('nan')])
@pytest.mark.parametrize('name', ['max_image_age_s', 'max_state_age_s', 'max_sync_skew_s'])
def test_limits_must_be_positive(name, value):
    with pytest.raises(ConfigError, match=f'{name} must be positive'):
        FreshnessConfig(**{name: value})
