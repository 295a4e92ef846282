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

"""Blocks of columns: feedback, the choice of salient columns, and what is refused."""

from dataclasses import asdict

from builders import stats_of, tiny_layer
from hbvla_ros.binarize.block_codes import BlockCodeConfig, BlockCodeMethod, salient_columns
from hbvla_ros.binarize.method import FamilyStats, make_config, METHODS, output_error
from hbvla_ros.core.errors import CalibrationError, ConfigError
from literal_blocks import resid
import pytest
import torch

BASELINES = ['billm', 'hbllm_row', 'hbllm_col']


def _code(name, weight, stats, **settings):
    method = METHODS[name]
    (code,) = method.quantize([weight], stats, make_config(method, settings))
    return code.dequantize()


def _blocks(weight, stats, **settings):
    """Return the blocks that a method sees which rounds everything to 0.05."""
    seen = []

    def spy(block, _config):
        seen.append(block)
        return (block.columns / 0.05).round() * 0.05, {'signs': block.columns.numel()}

    BlockCodeMethod(BlockCodeConfig, spy).quantize([weight], stats, BlockCodeConfig(**settings))
    return seen


def _second_block(weight, stats):
    """Return what the second block must become for the least error, by dense least squares."""
    h = stats.plain.double()
    h = h + 0.01 * h.diagonal().mean() * torch.eye(len(h), dtype=torch.float64)
    first, second = slice(0, 128), slice(128, None)
    error = (weight[:, first] - (weight[:, first] / 0.05).round() * 0.05).double()
    return weight[:, second] + error @ torch.linalg.solve(h[second, second], h[second, first]).T


def test_exact_feedback_is_the_least_squares_answer_to_the_error_of_a_block():
    weight, x = tiny_layer(out=6, n=200)
    stats = stats_of(x)
    exact = _blocks(weight, stats, feedback='exact')[1].columns
    # float32 against float64, condition number in the hundreds
    torch.testing.assert_close(exact.double(), _second_block(weight, stats), rtol=1e-3, atol=1e-5)


def test_the_public_feedback_is_not():
    weight, x = tiny_layer(out=6, n=200)
    stats = stats_of(x)
    wanted, public = _second_block(weight, stats), _blocks(weight, stats)[1].columns
    change = (wanted - weight[:, 128:]).norm()
    assert (public - wanted).norm() > 0.1 * change
    assert (public - wanted).norm() < change  # yet it points the right way


def test_without_feedback_blocks_are_coded_apart():
    weight, x = tiny_layer(out=6, n=200)
    seen = _blocks(weight, stats_of(x), feedback='none')
    assert torch.equal(torch.cat([block.columns for block in seen], dim=1), weight)


@pytest.mark.parametrize('name', BASELINES)
def test_exact_feedback_lowers_the_error_on_correlated_inputs(name):
    weight, x = tiny_layer(out=32, n=512, tokens=3000)
    stats = stats_of(x)
    none, public, exact = (
        output_error(weight, _code(name, weight, stats, feedback=kind), stats.plain)
        for kind in ('none', 'block', 'exact')
    )
    assert exact < public < none


@pytest.mark.parametrize('name', BASELINES)
def test_in_one_block_feedback_has_nothing_to_do(name):
    weight, x = tiny_layer(out=8, n=128)
    codes = [_code(name, weight, stats_of(x), feedback=kind) for kind in ('block', 'exact')]
    assert torch.equal(*codes)


@pytest.mark.parametrize('name', BASELINES)
def test_the_mixture_of_hessians_is_a_setting(name):
    weight, x = tiny_layer(out=8)
    importance = torch.rand(len(x), generator=torch.Generator().manual_seed(1)) ** 4
    stats = stats_of(x, importance)
    swapped = FamilyStats(stats.corrected, stats.plain)
    assert torch.equal(
        _code(name, weight, stats, corrected=1.0), _code(name, weight, swapped, corrected=0.0)
    )
    assert not torch.equal(_code(name, weight, stats), _code(name, weight, swapped))


@pytest.mark.parametrize('name', BASELINES)
def test_the_weights_of_a_column_that_is_never_active_do_not_matter(name):
    weight, x = tiny_layer(out=8)
    x[:, 5] = 0
    other = weight.clone()
    other[:, 5] = 7.0
    stats = stats_of(x)
    assert torch.equal(_code(name, weight, stats), _code(name, other, stats))


@pytest.mark.parametrize('name', BASELINES)
def test_a_column_that_is_never_active_counts_as_one_of_energy_one(name):
    weight, x = tiny_layer(out=8)
    x[:, 5] = 0
    weight[:, 5] = 0
    stats = stats_of(x)
    filled = FamilyStats(stats.plain.clone(), stats.corrected.clone())
    filled.plain[5, 5] = filled.corrected[5, 5] = 1.0
    assert torch.equal(_code(name, weight, stats), _code(name, weight, filled))


@pytest.mark.parametrize('name', BASELINES)
def test_weights_and_statistics_are_left_as_they_were(name):
    weight, x = tiny_layer(out=8)
    x[:, 5] = 0
    stats = stats_of(x)
    before = [tensor.clone() for tensor in (weight, stats.plain, stats.corrected)]
    _code(name, weight, stats)
    for tensor, copy in zip((weight, stats.plain, stats.corrected), before, strict=True):
        assert torch.equal(tensor, copy)


@pytest.mark.gpu
@pytest.mark.parametrize('name', BASELINES)
def test_a_cuda_device_keeps_the_work(name):
    weight, x = tiny_layer(out=8)
    weight, x = weight.cuda(), x.cuda()
    stats = stats_of(x)
    dense = _code(name, weight, stats)
    assert dense.device == weight.device
    assert output_error(weight, dense, stats.plain) < 0.2


def test_hessian_or_magnitude_says_which_column_is_salient():
    # Column 3 has the larger weights, column 9 counts 100 times as much.
    weight = torch.randn(6, 128, generator=torch.Generator().manual_seed(0)) * 0.01
    weight[:, 3], weight[:, 9] = 1.0, 0.5
    h = torch.eye(128)
    h[9, 9] = 100.0
    stats = FamilyStats(h, h)
    for metric, column in (('hessian', 9), ('magnitude', 3)):
        (block,) = _blocks(weight, stats, salient_metric=metric, salient_limit=1)
        assert block.salient.nonzero().flatten().tolist() == [column]


def test_the_norm_of_a_column_is_a_setting():
    score = torch.zeros(4, 3)
    score[0, 1] = 10.0  # l1 10, l2 10
    score[:, 2] = 4.0  # l1 16, l2 8
    for norm, column in (('l2', 1), ('l1', 2)):
        salient = salient_columns(score, score, BlockCodeConfig(column_norm=norm, salient_limit=1))
        assert salient.nonzero().flatten().tolist() == [column]


def test_the_search_minimises_the_error_of_what_it_is_told_to():
    weight, x = tiny_layer(out=5, n=128)
    counts = []
    for searched in ('score', 'weight'):
        (block,) = _blocks(weight, stats_of(x), search_on=searched)
        data = block.score if searched == 'score' else block.columns
        order = block.score.sum(dim=0).argsort(descending=True)
        errors = [_twice_coded_error(data[:, order], count) for count in range(1, 50)]
        counts.append(1 + errors.index(min(errors)))
        assert int(block.salient.sum()) == counts[-1]
    assert counts[0] != counts[1]


def _twice_coded_error(ranked, count):
    rows = [(row[:count], row[count:]) for row in ranked.tolist()]
    coded = [resid(some, 2) + resid(others, 2) for some, others in rows]
    return float((ranked - torch.tensor(coded)).square().sum())


def test_every_block_has_a_salient_column_unless_none_is_allowed():
    weight = torch.ones(4, 128)
    weight[:, ::2] = -1.0  # one plane is exact, nothing is salient
    stats = FamilyStats(torch.eye(128), torch.eye(128))
    magnitude = {'salient_metric': 'magnitude'}
    assert _blocks(weight, stats, **magnitude)[0].salient.sum() >= 1
    assert _blocks(weight, stats, **magnitude, min_salient=0)[0].salient.sum() == 0


@pytest.mark.parametrize('limit', [1, 3, 49])
def test_no_block_has_more_salient_columns_than_the_limit(limit):
    weight, x = tiny_layer(out=5, n=300)
    seen = _blocks(weight, stats_of(x), salient_limit=limit)
    assert all(1 <= int(block.salient.sum()) <= limit for block in seen)


def test_in_a_narrow_last_block_one_column_stays_plain():
    weight, x = tiny_layer(out=5, n=130)
    assert _blocks(weight, stats_of(x), min_salient=1)[1].salient.sum() == 1
    assert _blocks(weight, stats_of(x), min_salient=2)[1].salient.sum() == 0


PUBLIC = {
    'corrected': 0.0,
    'dampening': 0.01,
    'feedback': 'block',
    'salient_metric': 'hessian',
    'search_on': 'score',
    'min_salient': 1,
    'salient_limit': 49,
    'first_quantile': 0.1,
    'last_quantile': 0.9,
    'sign_of_zero': 0,
}


@pytest.mark.parametrize('name', BASELINES)
def test_the_defaults_are_those_of_the_public_commands_but_for_the_shared_mean(name):
    settings = asdict(make_config(METHODS[name], {}))
    one = {'column_norm': 'l1', 'num_quantiles': 81, 'salient_zeros': True}
    other = {'column_norm': 'l2', 'num_quantiles': 41, 'window': 7, 'half_inverse': True}
    special = one if name == 'billm' else other | {'group_partition': 'row', 'share_mean': True}
    assert settings == PUBLIC | special


@pytest.mark.parametrize('name', BASELINES)
def test_silent_activations_are_refused(name):
    weight, x = tiny_layer()
    with pytest.raises(CalibrationError, match='mean square 0'):
        _code(name, weight, stats_of(0 * x))


def test_a_hessian_that_is_none_is_refused():
    weight, x = tiny_layer()
    stats = stats_of(x)
    stats.plain[0, 1] = stats.plain[1, 0] = 1e6
    with pytest.raises(CalibrationError, match='not positive definite'):
        _code('billm', weight, stats)


@pytest.mark.parametrize(
    ('setting', 'value', 'message'),
    [
        ('corrected', 1.5, r'corrected must be in 0\.\.1, got 1\.5'),
        ('dampening', 0.0, 'dampening must be positive, got 0'),
        ('feedback', 'column', "feedback must be one of .*, got 'column'"),
        ('salient_metric', 'fisher', 'salient_metric must be one of'),
        ('column_norm', 'l3', 'column_norm must be one of'),
        ('search_on', 'error', 'search_on must be one of'),
        ('sign_of_zero', -1, 'sign_of_zero must be one of'),
        ('min_salient', -1, 'min_salient must be in'),
        ('salient_limit', 128, 'salient_limit must be in'),
        ('num_quantiles', 0, 'num_quantiles must be in'),
        ('first_quantile', -0.1, 'first_quantile must be in'),
        ('last_quantile', 1.1, 'last_quantile must be in'),
    ],
)
@pytest.mark.parametrize('name', BASELINES)
def test_a_setting_out_of_range_is_refused_by_name(name, setting, value, message):
    with pytest.raises(ConfigError, match=message):
        make_config(METHODS[name], {setting: value})
