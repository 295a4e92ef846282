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

"""The Hessian and its factor in one matrix."""

from builders import stats_of, tiny_layer
from hbvla_ros.binarize.curvature import Curvature, rotate
from hbvla_ros.binarize.feedback import inverse_factor
from hbvla_ros.binarize.layout import ColumnLayout
from hbvla_ros.binarize.method import damped, MixedHessian
from hbvla_ros.core.errors import CalibrationError
from hypothesis import given, settings
from hypothesis import strategies as st
import pytest
import torch


def _hessian(n=300, dtype=torch.float64):
    _, x = tiny_layer(out=2, n=n, tokens=900)
    hessian = damped(stats_of(x).plain, 0.01)[0].to(dtype)
    return (hessian + hessian.T) / 2  # a float32 product is symmetric only nearly


def _span(start, stop):
    return slice(start, stop)


def test_the_factor_times_its_transpose_is_the_hessian():
    hessian = _hessian()
    curvature = Curvature(hessian.clone())
    factor = curvature.factor_block(_span(0, 300))
    assert torch.equal(factor, factor.triu())
    torch.testing.assert_close(factor @ factor.T, hessian, rtol=1e-12, atol=1e-12)


def test_it_is_the_inverse_of_the_factor_of_the_inverse():
    hessian = _hessian()
    factor = Curvature(hessian.clone()).factor_block(_span(0, 300))
    # 1e-6: the Hessian was summed in float32 and its inverse is taken on the way
    torch.testing.assert_close(
        inverse_factor(hessian) @ factor, torch.eye(300).double(), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize('start', [0, 130, 256])
def test_products_with_columns_of_the_hessian_need_its_lower_half_only(start):
    hessian = _hessian()
    curvature = Curvature(hessian.clone())
    residual = torch.randn(5, 300, dtype=torch.float64)
    span = _span(start, start + 44)
    torch.testing.assert_close(curvature.product(residual, span), residual @ hessian[:, span])
    torch.testing.assert_close(curvature.block(span), hessian[span, span])
    torch.testing.assert_close(curvature.diagonal, hessian.diagonal())


def test_the_pull_of_the_columns_on_the_left_is_their_part_of_the_error():
    hessian = _hessian()
    curvature = Curvature(hessian.clone())
    factor = curvature.factor_block(_span(0, 300))
    residual = torch.randn(5, 300, dtype=torch.float64)
    span = _span(128, 256)
    expected = residual[:, :128] @ factor[:128, span]
    torch.testing.assert_close(curvature.pull(residual, span), expected)


def test_the_error_of_a_row_is_its_quadratic_form():
    hessian = _hessian()
    residual = torch.randn(5, 300, dtype=torch.float64)
    expected = ((residual @ hessian) * residual).sum(dim=1)
    torch.testing.assert_close(Curvature(hessian.clone()).error(residual), expected)


def test_an_attention_sink_does_not_break_the_factor_in_float32():
    # one token a thousand times larger than the rest, along all columns: condition number 1e8
    x = torch.randn(4096, 384, generator=torch.Generator().manual_seed(0))
    x[0] = 1000 * torch.randn(384, generator=torch.Generator().manual_seed(1))
    hessian = damped(stats_of(x).plain, 1e-4)[0]
    factor = Curvature(hessian.float()).factor_block(_span(0, 384)).double()
    error = (factor @ factor.T - hessian).abs() / hessian.diagonal().max()
    assert error.max() < 1e-6  # the rounding of float32, not of sums of hundreds of them


def test_a_matrix_that_is_no_hessian_is_refused():
    with pytest.raises(CalibrationError, match='not positive definite'):
        Curvature(-torch.eye(4))


@settings(max_examples=20, deadline=None)
@given(
    n=st.integers(2, 400),
    salient=st.integers(0, 400),
    names=st.tuples(*[st.sampled_from(['none', 'haar', 'haar3', 'hadamard'])] * 2),
    seed=st.integers(0, 9),
)
def test_the_rotated_hessian_measures_the_same_error(n, salient, names, seed):
    g = torch.Generator().manual_seed(seed)
    layout = ColumnLayout(n, min(salient, n), *names, torch.randperm(n, generator=g))
    x = torch.randn(50, n, generator=g, dtype=torch.float64)
    r = torch.randn(2, n, generator=g, dtype=torch.float64)
    h = x.T @ x
    z, rotated = layout.forward(r), rotate(h.__getitem__, layout, 0.0, torch.float64)
    torch.testing.assert_close(((z @ rotated) * z).sum(1), ((r @ h) * r).sum(1))


def test_padding_columns_carry_only_the_damping():
    rotated = rotate(torch.eye(3).__getitem__, ColumnLayout(3), 0.5)
    assert rotated.diagonal().tolist() == [1.5] * 3 + [0.5] * 125
    assert rotated.count_nonzero() == 128


def test_the_mixture_of_two_hessians_worked_by_hand():
    stats = stats_of(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([2.0, 0.0]))
    # H = diag(1, 4), Hc = diag(2, 0): a quarter of the way from H to Hc
    mixed = MixedHessian(stats, 0.25, 0.1)
    assert mixed.rows(slice(None)).tolist() == [[1.25, 0.0], [0.0, 3.0]]
    assert mixed.added == pytest.approx(0.1 * 2.125)
    assert mixed.live.tolist() == [True, True]
