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

"""HBLLM: equal to a literal re-statement of the public code, bit count, bands, each switch."""

from functools import partial

from builders import stats_of, tiny_layer
from hbvla_ros.binarize.method import FamilyStats, make_config, METHODS, output_error
from hbvla_ros.binarize.methods.hbllm import _from_bands, _to_bands, fill_salient
from hbvla_ros.core.errors import ConfigError
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
import literal_blocks
import pytest
import torch

BOTH = ['hbllm_row', 'hbllm_col']
WHITE = FamilyStats(torch.eye(128), torch.eye(128))
NO_SALIENT = {'min_salient': 0, 'salient_limit': 0}
ONE_SALIENT = {'min_salient': 1, 'salient_limit': 1}


def _run(name, weight, stats, **settings):
    method = METHODS[name]
    (code,) = method.quantize([weight], stats, make_config(method, settings))
    return code


@pytest.mark.parametrize('n', [128, 192])
@pytest.mark.parametrize('share_mean', [True, False])
@pytest.mark.parametrize('name', BOTH)
def test_it_equals_a_literal_restatement_of_the_public_code(name, share_mean, n):
    weight, x = tiny_layer(out=4, n=n)
    stats = stats_of(x)
    code = partial(literal_blocks.hbllm, axis=name.removeprefix('hbllm_'), share_mean=share_mean)
    literal = literal_blocks.quantize(weight.numpy(), stats.plain.double().numpy(), code)
    # float32 against float64; a different choice anywhere would show as 0.01 and more
    torch.testing.assert_close(
        _run(name, weight, stats, share_mean=share_mean).dequantize(),
        torch.tensor(literal).float(),
        rtol=1e-5,
        atol=1e-7,
    )


@pytest.mark.parametrize(
    ('name', 'share_mean', 'per_weight', 'per_salient'),
    [
        ('hbllm_row', True, 3.25, 2),
        ('hbllm_row', False, 3.5, 2),
        ('hbllm_col', True, 2.875, 0),
        ('hbllm_col', False, 3.0, 0),
    ],
)
@pytest.mark.parametrize('m', [5, 16])
def test_the_stored_bits_follow_the_formula(name, share_mean, per_weight, per_salient, m):
    weight, x = tiny_layer(out=m, n=256)
    code = _run(name, weight, stats_of(x), share_mean=share_mean)
    share = code.num_salient / 256
    assert 0 < share < 0.4
    assert code.stored_bits / weight.numel() == per_weight + per_salient * share + 1 / m
    assert code.bits_sign == (1 + share if name == 'hbllm_row' else 1)


def test_the_bits_of_a_ragged_block_worked_by_hand():
    weight, x = tiny_layer(out=10, n=138)
    code = _run('hbllm_row', weight, stats_of(x), **ONE_SALIENT)
    # two blocks, of 128 and of 10 columns, one salient column in each; per row and block two
    # bands with 3 numbers and one salient band with 4
    assert code.bits == {
        'signs': 10 * (138 + 2),
        'bitmap': 10 * (138 + 2),
        'parameters': 2 * 10 * (2 * 3 + 4) * 16,
        'salient_mask': 138,
    }


@pytest.mark.parametrize('name', BOTH)
@pytest.mark.parametrize(('m', 'n'), [(1, 1), (1, 128), (3, 2), (3, 129), (4, 208), (3, 1152)])
def test_any_shape_is_coded(name, m, n):
    # 208 = 128 + 80, as in 4304 = 33 * 128 + 80; the public code wants even sides
    weight, x = tiny_layer(out=m, n=n)
    dense = _run(name, weight, stats_of(x)).dequantize()
    # 1 - 2 / pi = 0.363 is what one sign per weight leaves of Gaussian weights
    assert output_error(weight, dense, stats_of(x).plain) < 0.36


@given(st.integers(1, 9), st.integers(1, 150), st.integers(0, 1000), st.sampled_from(BOTH))
@examples(max_examples=25)
def test_codes_are_finite_and_as_large_as_the_weight(m, n, seed, name):
    weight, x = tiny_layer(out=m, n=n, tokens=n + 10, seed=seed)
    code = _run(name, weight, stats_of(x))
    assert code.dequantize().shape == (m, n)
    assert torch.isfinite(code.dequantize()).all()
    assert code.bits['signs'] == m * (n + (code.num_salient if name == 'hbllm_row' else 0))


@given(st.integers(1, 6), st.integers(1, 40))
def test_bands_keep_the_energy_and_lead_back(rows, columns):
    x = torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))
    low, high = _to_bands(x)
    assert low.shape[1] + high.shape[1] == columns
    torch.testing.assert_close(low.square().sum() + high.square().sum(), x.square().sum())
    torch.testing.assert_close(_from_bands((low, high), 1.0), x)


def test_a_last_row_without_partner_is_coded_alone():
    weight, x = tiny_layer(out=5, n=128)
    run = partial(_run, 'hbllm_col', stats=stats_of(x), feedback='none', **NO_SALIENT)
    whole, pairs, last = (
        run(weight=part).dequantize() for part in (weight, weight[:4], weight[4:])
    )
    torch.testing.assert_close(whole, torch.cat([pairs, last]))


def test_half_precision_in_the_inverse_shrinks_every_value():
    weight = tiny_layer(out=4, n=128)[0]
    for name in BOTH:
        half, exact = (
            _run(name, weight, WHITE, half_inverse=half, **NO_SALIENT).dequantize()
            for half in (True, False)
        )
        torch.testing.assert_close(half, exact * (0.70703125 / 0.5**0.5), rtol=1e-6, atol=0)
        assert not torch.allclose(half, exact, rtol=5e-5, atol=0)


@pytest.mark.parametrize('name', BOTH)
def test_one_salient_column_is_kept_exactly_but_for_that(name):
    # Four numbers per band and row for a single entry: paid for in hidden bits.
    weight, x = tiny_layer(out=6, n=128)
    for half, tolerance in ((False, 1e-6), (True, 2e-4)):
        code = _run(name, weight, stats_of(x), **ONE_SALIENT, half_inverse=half)
        distance = (code.dequantize() - weight).abs().amax(dim=0)
        assert distance.min() < tolerance * weight.abs().max()
        assert distance.sort().values[1] > 1e-3 * weight.abs().max()


def test_each_row_has_its_own_border_or_a_band_has_one():
    # Rows of its own: scaling a row scales its code. With one border, the rows weigh differently.
    weight = tiny_layer(out=4, n=128)[0]
    scale = torch.tensor([[1.0], [4.0], [0.5], [2.0]])
    for partition, own in (('row', True), ('global', False)):
        run = partial(_run, 'hbllm_row', stats=WHITE, group_partition=partition, **NO_SALIENT)
        scaled = run(weight=weight * scale).dequantize()
        assert torch.equal(scaled, run(weight=weight).dequantize() * scale) == own


def test_a_mean_for_each_group_takes_more_bits():
    weight, x = tiny_layer(out=32, n=512, tokens=3000)
    stats = stats_of(x)
    shared, own = (
        _run('hbllm_col', weight, stats, share_mean=share, feedback='none', **NO_SALIENT)
        for share in (True, False)
    )
    assert not torch.equal(shared.dequantize(), own.dequantize())
    assert own.stored_bits - shared.stored_bits == 16 * 32 * 4  # rows of bands, blocks


@pytest.mark.parametrize(
    ('salient', 'window', 'filled'),
    [
        ([3], 3, [1, 2, 4, 7, 10, 20, 30]),
        ([3], 7, [1, 2, 4, 67 / 6, 10, 20, 30]),
        ([2, 3], 3, [1, 2, 2, 10, 10, 20, 30]),
        ([3], 1, [1, 2, 4, 4, 10, 20, 30]),  # nobody in the window: the nearest on the left
        ([0, 1], 1, [4, 4, 4, 8, 10, 20, 30]),  # none on the left: the first on the right
        ([5, 6], 3, [1, 2, 4, 8, 10, 10, 10]),
    ],
)
def test_a_salient_column_is_filled_with_the_mean_of_those_around_it(salient, window, filled):
    row = torch.tensor([[1.0, 2, 4, 8, 10, 20, 30]])
    mask = torch.zeros(7, dtype=torch.bool)
    mask[salient] = True
    torch.testing.assert_close(fill_salient(row, mask, window), torch.tensor([filled]).float())


def test_the_window_matters_to_pairs_of_columns_only():
    weight, x = tiny_layer(out=6, n=128)
    for name, same in (('hbllm_row', False), ('hbllm_col', True)):
        codes = [_run(name, weight, stats_of(x), window=w).dequantize() for w in (3, 7)]
        assert torch.equal(*codes) == same


@pytest.mark.parametrize(
    ('setting', 'value', 'message'),
    [
        ('group_partition', 'column', 'group_partition must be one of'),
        ('window', 0, 'window must be in'),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(setting, value, message):
    with pytest.raises(ConfigError, match=message):
        make_config(METHODS['hbllm_row'], {setting: value})
