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

"""What every kernel promises; runs over the table."""

from hbvla_ros.binarize.layout import ColumnLayout
from hbvla_ros.binarize.weight import BinaryWeight
from hbvla_ros.core.errors import ConfigError
from hbvla_ros.kernels import int8_reference
from hbvla_ros.kernels.cpu import CpuKernel
from hbvla_ros.kernels.dispatch import KERNELS, load_kernel
from hbvla_ros.kernels.packing import pack
from hbvla_ros.kernels.pointwise import rms_norm, RmsNorm
from hypothesis import given, settings
from hypothesis import strategies as st
import pytest
import torch

SHAPES = [
    (16, 128, 0),
    (7, 80, 0),
    (40, 336, 20),
    (24, 1152, 128),
    (33, 300, 299),
    (16, 200, 200),  # two planes everywhere
    (50, 1160, 330),  # chunks of 512 that end inside the second plane
]
ROWS = (1, 2, 17, 64, 261)
TRANSFORMS = ['none', 'haar', 'haar3', 'haar6', 'hadamard']


def _weight(out, n, salient, transform='haar', salient_transform='none'):
    g = torch.Generator().manual_seed(n)
    order = torch.randperm(n, generator=g)
    layout = ColumnLayout(n, salient, transform, salient_transform, order)
    return BinaryWeight(
        layout,
        torch.rand(out, layout.virtual_width, generator=g) < 0.5,
        torch.randint(-127, 128, (out, layout.virtual_width // 128, 2), generator=g).to(
            torch.int8
        ),
        torch.rand(out, layout.segments, generator=g) * 0.01,
    )


def _random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _kernel(name, x, packed):
    kernel = load_kernel(name)
    if not kernel.supports(packed, x):
        pytest.skip(f'kernel {name} does not run on this computer')
    return kernel


def _product(name, x, packed):
    return _kernel(name, x, packed).linear(x, packed)


def _is_exact(name):
    return getattr(load_kernel(name), 'exact', True)


def _assert_right(name, x, weight, got):
    """Hold an exact kernel to the dense product and an int8 one to the integer reference."""
    if not _is_exact(name):
        assert torch.equal(got, int8_reference.linear(x, pack(weight)))
        return
    exact = x.double() @ weight.dequantize().double().T
    # float32 sums of up to 1300 terms: 1e-5 of the largest output
    assert (got - exact).abs().max() <= 1e-5 * exact.abs().max()


every_kernel = pytest.mark.parametrize('name', list(KERNELS))


@every_kernel
@pytest.mark.parametrize(('out', 'n', 'salient'), SHAPES)
def test_it_equals_the_dense_product(name, out, n, salient):
    weight = _weight(out, n, salient)
    packed = pack(weight)
    for rows in ROWS:
        x = _random(rows, n, seed=rows)
        _assert_right(name, x, weight, _product(name, x, packed))


@every_kernel
@pytest.mark.parametrize('transform', TRANSFORMS)
def test_it_knows_every_transform(name, transform):
    weight = _weight(20, 700, 130, transform, transform)
    for rows in (1, 33):
        x = _random(rows, 700, seed=rows)
        _assert_right(name, x, weight, _product(name, x, pack(weight)))


@every_kernel
@pytest.mark.parametrize(('out', 'n', 'rows'), [(40, 4304, 70), (4304, 128, 17)])
def test_it_is_right_at_the_widths_of_a_vision_tower(name, out, n, rows):
    weight = _weight(out, n, 0)
    x = _random(rows, n)
    _assert_right(name, x, weight, _product(name, x, pack(weight)))


@every_kernel
def test_more_rows_than_one_pass_takes_are_all_there(name):
    weight = _weight(20, 256, 0)
    x = _random(1200, 256)
    _assert_right(name, x, weight, _product(name, x, pack(weight)))


@every_kernel
def test_bfloat16_in_gives_bfloat16_out_within_its_rounding(name):
    weight = _weight(24, 300, 12)
    for rows in (1, 9, 40):
        x = _random(rows, 300).bfloat16()
        got = _product(name, x, pack(weight))
        exact = x.double() @ weight.dequantize().double().T
        assert got.dtype == torch.bfloat16
        # the Haar of a bfloat16 input is rounded once (2^-9) and so is the output; int8 costs
        # 0.5 % of the largest activation in each term instead
        bound = 1e-2 if _is_exact(name) else 3e-2
        assert (got - exact).abs().max() <= bound * exact.abs().max()


@every_kernel
def test_leading_dimensions_and_strides_do_not_matter(name):
    packed = pack(_weight(16, 128, 0))
    x = _random(3, 128, 4).transpose(1, 2)
    wide = torch.zeros(3, 4, 200)
    wide[..., 40:168] = x
    got = _product(name, x.contiguous(), packed)
    assert got.shape == (3, 4, 16)
    for same in (x, wide[..., 40:168], wide[..., 40:168].bfloat16().float() * 0 + x):
        # equal bits but for `reference`, whose torch may sum in another order
        torch.testing.assert_close(_product(name, same, packed), got)


@every_kernel
@pytest.mark.parametrize('rows', [2, 40])
@pytest.mark.parametrize('scale', [0.0, 1e30])
def test_zero_and_huge_activations_stay_what_they_are(name, scale, rows):
    weight = _weight(16, 128, 0)
    x = torch.full((rows, 128), scale)
    got = _product(name, x, pack(weight)).double()
    exact = x.double() @ weight.dequantize().double().T
    torch.testing.assert_close(got, exact, rtol=1e-3, atol=1e-4 * max(scale, 1e-30))


@every_kernel
@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_what_is_not_finite_is_never_hidden(name, bad):
    packed = pack(_weight(16, 256, 0, 'none'))
    for rows in (3, 40):
        x = _random(rows, 256)
        x[1, 77] = bad
        got = _product(name, x, packed)
        assert not torch.isfinite(got[1]).any()
        assert torch.isfinite(got[[0, 2]]).all()


@every_kernel
def test_no_rows_give_no_rows(name):
    packed = pack(_weight(16, 128, 0))
    assert _product(name, torch.zeros(0, 128), packed).shape == (0, 16)


@every_kernel
def test_the_number_of_threads_changes_no_bit(name):
    if name == 'reference':
        pytest.skip('torch may sum in another order with other threads')
    packed = pack(_weight(200, 600, 40))
    before = torch.get_num_threads()
    try:
        for rows in (1, 70):
            x = _random(rows, 600)
            found = []
            for threads in (1, 2, 5):
                torch.set_num_threads(threads)
                found += [_product(name, x, packed) for _ in range(3)]
            assert all(torch.equal(found[0], other) for other in found[1:])
    finally:
        torch.set_num_threads(before)


@every_kernel
def test_a_bias_is_added_in_float32(name):
    weight = _weight(24, 300, 12)
    x, bias = _random(9, 300), _random(24, seed=5)
    kernel = _native_kernel(name, x, pack(weight))
    plain = kernel.linear(x, pack(weight))
    assert torch.equal(kernel.linear(x, pack(weight), bias), plain + bias)
    with pytest.raises(ConfigError, match=r'bias must be \(24,\), got \(23,\)'):
        kernel.linear(x, pack(weight), bias[1:])


@pytest.mark.parametrize('name', [n for n in KERNELS if n != 'reference'])
@settings(max_examples=12, deadline=None)
@given(
    out=st.integers(1, 70),
    n=st.integers(1, 700),
    part=st.floats(0, 1),
    rows=st.integers(1, 50),
    transforms=st.tuples(st.sampled_from(TRANSFORMS), st.sampled_from(TRANSFORMS)),
    exponent=st.integers(-20, 20),
)
def test_any_shape_is_right(name, out, n, part, rows, transforms, exponent):
    weight = _weight(out, n, round(part * n), *transforms)
    x = _random(rows, n, seed=rows) * 10.0**exponent
    _assert_right(name, x, weight, _product(name, x, pack(weight)))


def _native_kernel(name, x, packed):
    kernel = _kernel(name, x, packed)
    if not isinstance(kernel, CpuKernel):
        pytest.skip(f'kernel {name} is no part of the native library')
    return kernel


native_type = pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])


@every_kernel
@native_type
@pytest.mark.parametrize('adds', [False, True])
@pytest.mark.parametrize(('out', 'n', 'rows'), [(40, 336, 1), (24, 1152, 33), (7, 80, 7)])
def test_a_norm_on_the_way_in_changes_no_bit(name, out, n, rows, adds, dtype):
    x, packed = _random(rows, n).to(dtype), pack(_weight(out, n, 0))
    kernel = _native_kernel(name, x, packed)
    add = _random(rows, n, seed=1).to(dtype) if adds else None
    norm = RmsNorm(_random(n, seed=2).to(dtype), 1e-6, add)
    apart, on_the_way = x.clone(), x.clone()
    wanted = kernel.linear(rms_norm(apart, norm), packed)
    prepared = kernel.prepare(on_the_way, packed.layout, norm)
    assert torch.equal(kernel.multiply(prepared, packed, dtype), wanted)
    assert torch.equal(on_the_way, apart)  # both hold the sum, or what they held


@every_kernel
def test_one_row_out_of_a_wider_tensor_is_normalized_like_any(name):
    x, packed = _random(1, 400)[:, :336], pack(_weight(40, 336, 0))  # contiguous to torch
    kernel = _native_kernel(name, x, packed)
    norm = RmsNorm(torch.ones(336), 1e-6)
    prepared = kernel.prepare(x, packed.layout, norm)
    wanted = kernel.linear(rms_norm(x, norm), packed)
    assert torch.equal(kernel.multiply(prepared, packed, x.dtype), wanted)


@every_kernel
@native_type
@pytest.mark.parametrize('biased', [False, True])
@pytest.mark.parametrize('salient', [0, 20])
def test_a_product_is_added_to_what_is_there_after_it_was_rounded(name, salient, biased, dtype):
    x, packed = _random(35, 336).to(dtype), pack(_weight(41, 336, salient))
    kernel = _native_kernel(name, x, packed)
    bias = _random(41, seed=3) if biased else None
    there, prepared = _random(35, 41, seed=4).to(dtype), kernel.prepare(x, packed.layout)
    wanted = there + kernel.multiply(prepared, packed, dtype, bias)
    found = kernel.multiply(prepared, packed, dtype, bias, there)
    assert found.data_ptr() == there.data_ptr()
    assert torch.equal(found, wanted)


@every_kernel
def test_what_can_not_be_normalized_or_added_to_is_refused_before_anything_is_written(name):
    x, packed = _random(3, 80), pack(_weight(7, 80, 0))
    kernel = _native_kernel(name, x, packed)
    before, weight = x.clone(), torch.ones(80)
    for norm in (RmsNorm(weight[1:], 1e-6), RmsNorm(weight, 1e-6, x.bfloat16())):
        with pytest.raises(ConfigError, match='expected torch'):
            kernel.prepare(x, packed.layout, norm)
    with pytest.raises(ConfigError, match='contiguous'):
        kernel.prepare(x.T.contiguous().T, packed.layout, RmsNorm(weight, 1e-6))
    prepared = kernel.prepare(x, packed.layout)
    for there in (x.new_zeros(3, 8), x.new_zeros(3, 7).bfloat16(), x.new_zeros(7, 3).T):
        with pytest.raises(ConfigError, match='is added to'):
            kernel.multiply(prepared, packed, x.dtype, None, there)
        assert not there.any()
    assert torch.equal(x, before)
