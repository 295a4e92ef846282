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

"""The corrected target."""

from builders import stats_of, tiny_layer
from hbvla_ros.binarize.method import FamilyStats, make_config, METHODS
from hbvla_ros.binarize.target import corrected_target
from hbvla_ros.calib.hessian import HessianAccumulator
from hbvla_ros.core.errors import CalibrationError
import pytest
import torch


def _stats(full, x, importance=None):
    moments = HessianAccumulator(x.shape[1], torch.float64, shifted=True)
    moments.update(x, torch.ones(len(x)) if importance is None else importance, full)
    return FamilyStats(
        moments.plain(), moments.corrected(), moments.plain_shift(), moments.corrected_shift()
    )


def _perturb(x, seed):
    """Return what quantized layers would make of ``x``: mixed, shrunk and noisy."""
    g = torch.Generator().manual_seed(99)
    mix = torch.eye(x.shape[1]) * 0.8 + 0.3 * torch.randn(x.shape[1], x.shape[1], generator=g) / (
        x.shape[1] ** 0.5
    )
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
    return x @ mix + 0.1 * noise * x.std()


def test_with_equal_streams_it_is_the_weight_itself():
    weight, x = tiny_layer()
    (target,) = corrected_target([weight], _stats(x, x), 0.5)
    assert torch.equal(target, weight)


def test_it_maps_perturbed_inputs_back_to_the_outputs_of_full_precision():
    weight, x = tiny_layer(out=24, n=100, tokens=4000)
    x, held_out = x[:3000], x[3000:]
    (target,) = corrected_target([weight], _stats(x, _perturb(x, 1)), 0.0)
    error = [
        (_perturb(held_out, 2) @ w.T - held_out @ weight.T).square().mean()
        for w in (weight, target)
    ]
    assert error[1] < 0.5 * error[0]


def test_a_linear_perturbation_that_can_be_undone_is_undone():
    weight, x = tiny_layer(out=8, n=64, tokens=2000)
    (target,) = corrected_target([weight], _stats(x, 0.5 * x), 0.0)
    # x_q = x / 2 needs 2 W; the damping of 1 percent of the mean diagonal holds back a little
    torch.testing.assert_close(target, 2 * weight, rtol=0.2, atol=0.01)


def test_the_tokens_that_matter_decide():
    weight, x = tiny_layer(out=8, n=64, tokens=4000)
    matters = torch.arange(4000) < 2000
    seen = torch.where(matters[:, None], 0.5 * x, 3 * x)
    importance = torch.where(matters, 1.0, 1e-3)
    (target,) = corrected_target([weight], _stats(x, seen, importance), 1.0)
    error = (seen[:2000] @ target.T - x[:2000] @ weight.T).square().mean()
    assert error < 0.1 * (x[:2000] @ weight.T).square().mean()


def test_coding_the_corrected_target_lowers_the_error_against_full_precision():
    weight, x = tiny_layer(out=48, n=128, tokens=4000)
    x, held_out = x[:3000], x[3000:]
    stats = _stats(x, _perturb(x, 1))
    method = METHODS['hbvla_plus']
    errors = []
    for targets in ([weight], corrected_target([weight], stats, 0.5)):
        (code,) = method.quantize(targets, stats, make_config(method, {}))
        got = _perturb(held_out, 2) @ code.dequantize().T
        errors.append((got - held_out @ weight.T).square().mean())
    assert errors[1] < 0.8 * errors[0]


def test_one_stream_alone_is_not_enough():
    weight, x = tiny_layer()
    with pytest.raises(CalibrationError, match='needs both streams'):
        corrected_target([weight], stats_of(x), 0.5)
