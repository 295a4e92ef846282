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

"""Choosing a kernel."""

from hbvla_ros.binarize.layout import ColumnLayout
from hbvla_ros.binarize.weight import BinaryWeight
from hbvla_ros.core.errors import ConfigError
from hbvla_ros.kernels.dispatch import binary_linear, kernel_names
from hbvla_ros.kernels.packing import pack
import pytest
import torch


def _packed():
    return pack(
        BinaryWeight(
            ColumnLayout(128),
            torch.ones(16, 128, dtype=torch.bool),
            torch.ones(16, 1, 2, dtype=torch.int8),
            torch.ones(16, 1),
        )
    )


def test_ones_times_ones_worked_by_hand():
    assert binary_linear(torch.ones(2, 128), _packed()).tolist() == [[128.0] * 16] * 2


def test_the_environment_forces_a_kernel(monkeypatch):
    monkeypatch.setenv('HBVLA_KERNEL', 'reference')
    assert kernel_names() == ('reference',)


def test_an_unknown_forced_kernel_lists_the_known_ones(monkeypatch):
    monkeypatch.setenv('HBVLA_KERNEL', 'magic')
    with pytest.raises(ConfigError, match=r"unknown kernel 'magic'.*reference"):
        binary_linear(torch.ones(2, 128), _packed())


def test_a_wrong_width_is_refused_with_both_widths():
    with pytest.raises(ConfigError, match='reads 128 features, got 64'):
        binary_linear(torch.ones(2, 64), _packed())
