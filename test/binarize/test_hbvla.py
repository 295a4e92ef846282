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

"""HBVLA's own parts: each switch does what the paper says it is for."""

from builders import stats_of, tiny_layer
from hbvla_ros.binarize.method import make_config, METHODS, output_error
from hbvla_ros.core.errors import CalibrationError, ConfigError
import pytest
import torch


def _run(weight, stats, **settings):
    method = METHODS['hbvla']
    (code,) = method.quantize([weight], stats, make_config(method, settings))
    return code


def test_it_beats_rtn_by_a_wide_margin_on_correlated_inputs():
    weight, x = tiny_layer(out=64, n=256, tokens=2000)
    stats = stats_of(x)
    (rtn,) = METHODS['rtn'].quantize([weight], stats, None)
    ours = output_error(weight, _run(weight, stats, num_salient=0).dequantize(), stats.plain)
    assert ours < 0.8 * output_error(weight, rtn.dequantize(), stats.plain)


def test_a_second_plane_on_salient_columns_lowers_the_error():
    weight, x = tiny_layer(out=64, n=640, tokens=3000)
    stats = stats_of(x)
    errors = [
        output_error(weight, _run(weight, stats, num_salient=k).dequantize(), stats.plain)
        for k in (0, 128)
    ]
    assert errors[1] < 0.8 * errors[0]


def test_the_search_takes_salient_columns_only_where_they_pay():
    weight, x = tiny_layer(out=64, n=640, tokens=3000)
    stats = stats_of(x)
    assert _run(weight, stats, min_gain_per_bit=0.1).layout.num_salient == 128
    assert _run(weight, stats, min_gain_per_bit=100.0).layout.num_salient == 0


def test_outlier_columns_are_the_salient_ones():
    weight, x = tiny_layer(out=64, n=256)
    x = x / x.std(dim=0)
    layout = _run(weight, stats_of(x), num_salient=3).layout
    assert set(layout.permutation[-3:].tolist()) == {0, 1, 2}


def test_the_corrected_hessian_protects_the_tokens_that_move_the_action():
    # Distractor tokens: ten times larger, through another mixing, nearly irrelevant (weight 0.02).
    g = torch.Generator().manual_seed(0)
    n, tokens = 256, 4096
    weight = torch.randn(64, n, generator=g) * 0.02
    important = torch.rand(tokens, generator=g) >= 0.1
    mix = [torch.eye(n) + 0.4 * torch.randn(n, n, generator=g) / n**0.5 for _ in range(2)]
    scale = [torch.exp(0.6 * torch.randn(n, generator=g)) for _ in range(2)]

    def draw():
        z = torch.randn(tokens, n, generator=g)
        near, far = (z @ mix[i] * scale[i] for i in range(2))
        return torch.where(important[:, None], near, 10 * far)

    s = torch.where(important, 1.0, 0.02)
    stats, held_out = stats_of(draw(), s), stats_of(draw(), s)
    error = {
        lam: output_error(
            weight, _run(weight, stats, corrected=lam).dequantize(), held_out.corrected
        )
        for lam in (0.0, 1.0)
    }
    # method.md's fixture shows 34 to 47 percent; 30 percent is the goal stated there.
    assert error[1.0] < 0.7 * error[0.0]


def test_the_final_sign_pass_never_raises_the_error():
    weight, x = tiny_layer(out=64, n=256)
    stats = stats_of(x)
    errors = [
        output_error(
            weight,
            _run(weight, stats, num_salient=0, frozen_sign_pass=on).dequantize(),
            stats.plain,
        )
        for on in (False, True)
    ]
    assert errors[1] <= errors[0] * 1.001  # the pass works on the damped Hessian


def test_silent_activations_are_refused():
    weight, x = tiny_layer()
    with pytest.raises(CalibrationError, match='mean square 0'):
        _run(weight, stats_of(0 * x))


@pytest.mark.parametrize(
    ('setting', 'value', 'message'),
    [
        ('corrected', 1.5, 'corrected must be in'),
        ('dampening', 0.0, 'dampening must be positive'),
        ('num_salient', -2, 'num_salient must be'),
        ('transform', 'fourier', 'unknown transform'),
        ('max_salient_share', 2.0, 'max_salient_share must be'),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(setting, value, message):
    with pytest.raises(ConfigError, match=message):
        make_config(METHODS['hbvla'], {setting: value})
