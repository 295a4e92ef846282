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

"""BiLLM: equal to a literal re-statement of the public code, bit count, each switch."""

from builders import stats_of, tiny_layer
from hbvla_ros.binarize.method import FamilyStats, make_config, METHODS, output_error
from hbvla_ros.binarize.two_groups import residual_code
import literal_blocks
import pytest
import torch


def _run(weight, stats, **settings):
    method = METHODS['billm']
    (code,) = method.quantize([weight], stats, make_config(method, settings))
    return code


@pytest.mark.parametrize('n', [128, 192])
@pytest.mark.parametrize('seed', [0, 1])
def test_it_equals_a_literal_restatement_of_the_public_code(n, seed):
    weight, x = tiny_layer(out=4, n=n, seed=seed)
    stats = stats_of(x)
    literal = literal_blocks.quantize(
        weight.numpy(), stats.plain.double().numpy(), literal_blocks.billm
    )
    # float32 against float64; a different choice anywhere would show as 0.01 and more
    torch.testing.assert_close(
        _run(weight, stats).dequantize(), torch.tensor(literal).float(), rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize('m', [5, 16])
def test_it_stores_three_bits_and_a_mask_whatever_is_salient(m):
    for limit in (1, 49):
        weight, x = tiny_layer(out=m, n=256)
        code = _run(weight, stats_of(x), salient_limit=limit)
        assert code.stored_bits / weight.numel() == 3 + 1 / m
        assert code.bits_sign == 1 + code.num_salient / 256


def test_the_bits_of_a_ragged_block_worked_by_hand():
    weight, x = tiny_layer(out=10, n=138)
    code = _run(weight, stats_of(x), salient_limit=1)
    # two blocks, of 128 and of 10 columns, one salient column in each
    assert code.bits == {
        'signs': 10 * (138 + 2),
        'bitmap': 10 * (138 - 2),
        'parameters': 2 * 10 * 8 * 16,
        'salient_mask': 138,
    }


def test_without_salient_columns_their_parameters_are_not_stored():
    weight, x = tiny_layer(out=10, n=128)
    code = _run(weight, stats_of(x), salient_limit=0, min_salient=0)
    assert code.num_salient == 0
    assert code.bits['parameters'] == 10 * 4 * 16


@pytest.mark.parametrize('n', [1, 2, 50, 129, 208, 1152])
def test_any_width_is_coded(n):
    # 208 = 128 + 80, as in 4304 = 33 * 128 + 80; the public code wants 50 columns in every block
    weight, x = tiny_layer(out=3, n=n)
    code = _run(weight, stats_of(x))
    assert torch.isfinite(code.dequantize()).all()
    # 1 - 2 / pi = 0.363 is what one sign per weight leaves of Gaussian weights
    assert output_error(weight, code.dequantize(), stats_of(x).plain) < 0.36


def test_no_row_takes_more_values_than_its_planes_can_name():
    weight, x = tiny_layer(out=6, n=128)
    code = _run(weight, stats_of(x), salient_limit=1)
    counts = [len(row.unique()) for row in code.dequantize()]
    assert max(counts) <= 4 + 1  # two groups of two levels, and the one salient column


WHITE = FamilyStats(torch.eye(128), torch.eye(128))
NO_SALIENT = {'min_salient': 0, 'salient_limit': 0}


def _one_border(share):
    return {'num_quantiles': 1, 'first_quantile': share, 'last_quantile': share}


def test_zeros_of_salient_columns_count_in_the_quantiles():
    # 20 of 128 entries of a row are salient: counted as zeros, they are the lowest 10 percent,
    # and no entry is smaller than that border.
    weight = tiny_layer(out=6, n=128)[0]
    settings = {**_one_border(0.1), 'min_salient': 20, 'salient_limit': 20}
    counted, left_out = (
        _run(weight, WHITE, **settings, salient_zeros=zeros).dequantize()
        for zeros in (True, False)
    )
    plain = (counted != left_out).any(dim=0)
    assert int(plain.sum()) == 108
    torch.testing.assert_close(counted[:, plain], residual_code(weight[:, plain], 1, 0))


def test_a_block_has_one_border_among_the_quantiles_that_are_tried():
    # The median lies between the two rows, so that each of them is one group.
    row = tiny_layer(out=1, n=128)[0]
    row = row.sign() * (1 + row.abs() / row.abs().max())  # 1 to 2 away from 0
    weight = torch.cat([row, 1000 * row])
    alone = _run(weight, WHITE, **_one_border(0.5), **NO_SALIENT).dequantize()
    torch.testing.assert_close(alone, residual_code(weight, 1, 0))
    tried = _run(weight, WHITE, **NO_SALIENT).dequantize()
    assert output_error(weight, tried, WHITE.plain) < output_error(weight, alone, WHITE.plain)


def test_the_border_can_be_chosen_by_the_error_of_the_weights_themselves():
    weight, x = tiny_layer(out=16, n=128)
    errors = [
        (weight - _run(weight, stats_of(x), search_on=searched, **NO_SALIENT).dequantize()).norm()
        for searched in ('weight', 'score')
    ]
    assert errors[0] < errors[1]


def test_an_entry_at_the_mean_of_its_group_has_a_third_value_unless_zero_has_a_sign():
    weight = torch.tensor([[-1.0, 0.0, 0.0, 1.0] * 32])
    settings = {**_one_border(0.0), **NO_SALIENT}  # no entry is small
    for sign, value in ((0, 0.0), (1, 0.5)):
        code = _run(weight, WHITE, **settings, sign_of_zero=sign).dequantize()
        assert code[0, :4].tolist() == [-0.5, value, value, 0.5]
