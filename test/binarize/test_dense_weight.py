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

"""Weights off the level grid: what they hold and what they refuse."""

from hbvla_ros.binarize.dense_weight import DenseWeight
from hbvla_ros.core.errors import ConfigError
import pytest
import torch


def test_its_bits_are_the_sum_of_its_parts():
    weight = DenseWeight(torch.zeros(2, 3), {'signs': 9, 'bitmap': 6, 'parameters': 64}, 1)
    assert (weight.out_features, weight.in_features) == (2, 3)
    assert weight.stored_bits == 79
    assert weight.bits_sign == 9 / 6


def test_the_dense_weight_is_what_the_method_found():
    values = torch.randn(2, 3)
    assert torch.equal(DenseWeight(values, {'signs': 6}, 0).dequantize(), values)


@pytest.mark.parametrize(
    ('values', 'bits', 'num_salient', 'message'),
    [
        (torch.zeros(2, 3, dtype=torch.float64), {'signs': 6}, 0, r'float32 \[out, in\], got'),
        (torch.zeros(6), {'signs': 6}, 0, r'float32 \[out, in\], got'),
        (torch.zeros(2, 3), {'bitmap': 6}, 0, "'signs' among them"),
        (torch.zeros(2, 3), {'signs': -1}, 0, 'bits must be counts'),
        (torch.zeros(2, 3), {'signs': 6}, 4, r'num_salient must be in 0\.\.3, got 4'),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(values, bits, num_salient, message):
    with pytest.raises(ConfigError, match=message):
        DenseWeight(values, bits, num_salient)
