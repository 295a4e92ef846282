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

"""Streaming moments."""

from hbvla_ros.calib.hessian import HessianAccumulator
from hbvla_ros.core.errors import CalibrationError
import pytest
import torch


def _moments(x, s, pieces=1):
    moments = HessianAccumulator(x.shape[-1], torch.float64)
    for part, weight in zip(x.chunk(pieces), s.chunk(pieces), strict=True):
        moments.update(part, weight)
    return moments


def test_with_equal_importance_both_are_the_same():
    x = torch.randn(20, 5)
    moments = _moments(x, torch.ones(20))
    torch.testing.assert_close(moments.plain(), moments.corrected())


def test_streaming_and_token_order_do_not_matter():
    x, s = torch.randn(20, 5, dtype=torch.float64), torch.rand(20, dtype=torch.float64)
    order = torch.randperm(20)
    one, many = _moments(x, s), _moments(x[order], s[order], pieces=4)
    torch.testing.assert_close(one.corrected(), many.corrected())


def test_values_worked_by_hand():
    moments = _moments(torch.tensor([[1.0, 2.0], [0.0, 1.0]]), torch.tensor([1.0, 3.0]))
    assert moments.plain().tolist() == [[1.0, 2.0], [2.0, 5.0]]
    assert moments.corrected().tolist() == [[1.0, 2.0], [2.0, 7.0]]


def test_it_is_symmetric_and_positive_semidefinite():
    moments = _moments(torch.randn(4, 9), torch.rand(4))
    assert torch.linalg.eigvalsh(moments.corrected()).min() > -1e-9
    assert torch.equal(moments.plain(), moments.plain().T)


def test_counts_that_differ_are_refused():
    with pytest.raises(CalibrationError, match='20 tokens but 7 importances'):
        _moments(torch.randn(20, 5), torch.ones(7))


def test_activations_that_are_not_finite_are_refused():
    with pytest.raises(CalibrationError, match='not finite'):
        _moments(torch.tensor([[float('nan')]]), torch.ones(1))


def test_no_token_is_an_error():
    with pytest.raises(CalibrationError, match='no calibration token'):
        HessianAccumulator(3).plain()
