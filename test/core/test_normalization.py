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

"""Scalings between physical units and [-1, 1]."""

from hbvla_ros.core.errors import CheckpointError, ConfigError
from hbvla_ros.core.normalization import (
    BOUNDS,
    BOUNDS_Q99,
    choose_statistics,
    scaling_from,
)
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
import numpy as np
import pytest

ENTRY = {'min': [-2.0, 0.0], 'max': [2.0, 1.0], 'q01': [-1.0, 0.0], 'q99': [1.0, 0.5]}


@given(
    low=arrays(float, 3, elements=st.floats(-5, 5)),
    span=arrays(float, 3, elements=st.floats(0.01, 5)),
    share=arrays(float, (4, 3), elements=st.floats(0, 1)),
)
def test_the_way_back_restores_every_value_inside_the_limits(low, span, share):
    scaling = scaling_from({'min': low, 'max': low + span}, BOUNDS, 'here')
    value = low + share * span
    # The shared 1e-8 of both ways cancels; what is left is rounding.
    np.testing.assert_allclose(scaling.unnormalize(scaling.normalize(value)), value, atol=1e-12)


@given(value=arrays(float, (2, 2), elements=st.floats(-1e6, 1e6)))
def test_normalized_values_stay_in_minus_one_to_one(value):
    unit = scaling_from(ENTRY, BOUNDS_Q99, 'here').normalize(value)
    assert (np.abs(unit) <= 1).all()


def test_limits_and_middle_by_hand():
    scaling = scaling_from(ENTRY, BOUNDS, 'here')
    # 1e-8 in the denominator, as the reference has it.
    np.testing.assert_allclose(
        scaling.normalize(np.array([[-2, 0], [0, 0.5], [2, 1]])),
        [[-1, -1], [0, 0], [1, 1]],
        atol=1e-7,
    )


def test_the_two_kinds_read_different_limits():
    assert scaling_from(ENTRY, BOUNDS_Q99, 'here').high.tolist() == [1.0, 0.5]
    assert scaling_from(ENTRY, BOUNDS, 'here').high.tolist() == [2.0, 1.0]


def test_unnormalize_does_not_clip():
    scaling = scaling_from({'min': [0.0], 'max': [1.0]}, BOUNDS, 'here')
    assert scaling.unnormalize(np.array([3.0]))[0] == pytest.approx(2.0)


def test_a_masked_dimension_passes_unchanged_but_clipped_on_the_way_in():
    scaling = scaling_from({**ENTRY, 'mask': [True, False]}, BOUNDS, 'here')
    assert scaling.normalize(np.array([0.0, 0.75]))[1] == 0.75
    assert scaling.normalize(np.array([0.0, 7.0]))[1] == 1.0
    assert scaling.unnormalize(np.array([0.0, 0.75]))[1] == 0.75


def test_equal_limits_do_not_divide_by_zero():
    scaling = scaling_from({'min': [1.0], 'max': [1.0]}, BOUNDS, 'here')
    assert scaling.normalize(np.array([1.0])).tolist() == [-1.0]


def test_another_width_is_refused():
    with pytest.raises(ConfigError, match='describe 2 dimensions, got 3'):
        scaling_from(ENTRY, BOUNDS, 'here').normalize(np.zeros(3))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'max': None}, r"here: lacks \['max'\], needed for bounds"),
        ({'max': [1.0]}, 'differ in length'),
        ({'mask': [True]}, 'differ in length'),
        ({'max': [2.0, -1.0]}, 'must be finite with min <= max'),
        ({'min': [np.nan, 0.0]}, 'must be finite'),
    ],
)
def test_damaged_statistics_are_refused(changes, message):
    entry = {name: value for name, value in {**ENTRY, **changes}.items() if value is not None}
    with pytest.raises(CheckpointError, match=message):
        scaling_from(entry, BOUNDS, 'here')


def test_upside_down_limits_do_not_matter_where_the_mask_is_false():
    scaling_from({'min': [1.0], 'max': [0.0], 'mask': [False]}, BOUNDS, 'here')


def test_an_unknown_kind_lists_the_known_ones():
    with pytest.raises(ConfigError, match='known: bounds, bounds_q99'):
        scaling_from(ENTRY, 'gaussian', 'here')


def test_statistics_are_found_by_name_with_or_without_the_suffix():
    table = {'bridge': 1, 'libero_no_noops': 2}
    assert choose_statistics(table, 'bridge', 'here') == ('bridge', 1)
    assert choose_statistics(table, 'libero', 'here') == ('libero_no_noops', 2)


def test_the_only_statistics_need_no_name():
    assert choose_statistics({'bridge': 1}, '', 'here') == ('bridge', 1)


@pytest.mark.parametrize(
    ('table', 'key', 'message'),
    [
        ({'a': 1, 'b': 2}, '', 'unnorm_key is needed; keys there: a, b'),
        ({'a': 1}, 'z', "no statistics for unnorm_key 'z'; keys there: a"),
        ({}, '', 'unnorm_key is needed'),
    ],
)
def test_a_choice_that_cannot_be_made_names_the_keys(table, key, message):
    with pytest.raises(ConfigError, match=message):
        choose_statistics(table, key, 'here')
