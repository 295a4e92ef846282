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

"""What a chunk of actions accepts."""

from hbvla_ros.core.action import ActionChunk
from hbvla_ros.core.errors import ActionError
import numpy as np
import pytest


def make(actions, period_s=0.04):
    return ActionChunk(actions=np.asarray(actions, float), stamp_ns=0, period_s=period_s)


def test_the_chunk_size_is_the_number_of_rows():
    assert make(np.zeros((25, 14))).chunk_size == 25


@pytest.mark.parametrize('shape', [(3,), (0, 2), (2, 0), (1, 2, 3)])
def test_another_shape_is_refused(shape):
    with pytest.raises(ActionError, match=r'a chunk is \[chunk_size, A\]'):
        make(np.zeros(shape))


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_one_bad_value_drops_the_whole_chunk_and_is_located(value):
    actions = np.zeros((4, 3))
    actions[2, 1] = actions[3, 0] = value
    with pytest.raises(
        ActionError, match='2 values that are not finite, the first in row 2, action 1'
    ):
        make(actions)


@pytest.mark.parametrize('period_s', [0.0, -0.04, np.nan])
def test_a_period_must_be_positive(period_s):
    with pytest.raises(ActionError, match='period_s must be positive'):
        make([[0.0]], period_s=period_s)
