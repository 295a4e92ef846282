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

"""
Triton's kernels in its interpreter, on the CPU; ``test_triton.py`` runs this file.

The interpreter must be asked for before the kernels are imported, hence a process of its own. Its
bfloat16 is not usable, so float16 stands for both.
"""

from dataclasses import replace

from hbvla_ros.binarize.layout import ColumnLayout
from hbvla_ros.binarize.weight import BinaryWeight
from hbvla_ros.kernels import gpu_tiles, int8_reference, triton_launch, triton_linear
from hbvla_ros.kernels.packing import pack, striped
from hbvla_ros.kernels.pointwise import RmsNorm
from hbvla_ros.models.linear import BinaryLinear, sharing
import pytest
import torch

# The interpreter computes with numpy, which warns of what a GPU does silently.
pytestmark = pytest.mark.filterwarnings('ignore::RuntimeWarning')

# out, columns, salient columns, transform, salient transform, rows of x: ragged widths, blocks
# of 128, segments that end within a chunk, copies of salient columns that straddle chunks
CASES = [
    (16, 128, 0, 'none', 'none', 1),
    (7, 80, 0, 'haar', 'none', 2),
    (40, 336, 20, 'haar', 'haar', 17),
    (24, 1152, 384, 'hadamard', 'haar', 5),
    (16, 640, 640, 'hadamard', 'hadamard', 3),
    (33, 300, 299, 'haar3', 'hadamard', 2),
    (80, 200, 0, 'none', 'hadamard', 70),
]
EXACT = {torch.float32: 1e-6, torch.float16: 2e-3}  # of the largest output; 2 roundings to 2^-11


def made(out, n, salient, transform, salient_transform):
    g = torch.Generator().manual_seed(n)
    order = torch.randperm(n, generator=g)
    layout = ColumnLayout(n, salient, transform, salient_transform, order)
    shape = (out, layout.virtual_width // 128, 2)
    return BinaryWeight(
        layout,
        torch.rand(out, layout.virtual_width, generator=g) < 0.5,
        torch.randint(-127, 128, shape, generator=g).to(torch.int8),
        torch.rand(out, layout.segments, generator=g) * 0.01,
    )


def inputs(rows, n, dtype=torch.float32):
    return torch.randn(rows, n, generator=torch.Generator().manual_seed(rows)).to(dtype)


@pytest.mark.parametrize('dtype', EXACT)
@pytest.mark.parametrize('case', CASES)
def test_the_exact_product_is_the_dense_one(case, dtype):
    *shape, rows = case
    weight = made(*shape)
    x = inputs(rows, shape[1], dtype)
    got = triton_linear.EXACT.linear(x, striped(pack(weight)))
    dense = x.double() @ weight.dequantize().double().T
    assert got.dtype == dtype
    assert (got - dense).abs().max() <= EXACT[dtype] * dense.abs().max()


@pytest.mark.parametrize('case', CASES)
def test_the_int8_product_is_that_of_the_integer_reference(case):
    *shape, rows = case
    packed, x = pack(made(*shape)), inputs(rows, shape[1])
    expected = int8_reference.linear(x, packed)
    got = triton_linear.INT8.linear(x, striped(packed))
    # A value in the middle of two whole numbers may fall to either side of it, and sums of chunks
    # are rounded in another order.
    close = torch.isclose(got, expected, rtol=1e-5, atol=1e-6 * float(expected.abs().max()))
    assert close.float().mean() > 0.99
    assert (got - expected).abs().max() <= 1e-3 * expected.abs().max()


def test_activations_are_rounded_as_the_integer_reference_rounds_them():
    layout = ColumnLayout(1000, 200, 'haar', 'none')
    x = inputs(7, 1000)
    z, scales = triton_launch.prologue(x, layout, integer=True)
    value = layout.to_virtual(layout.forward(x))
    for number, chunk in enumerate(int8_reference.chunks(layout)):
        columns = slice(chunk.first, chunk.last)
        rounded, scale = int8_reference.quantize(value[:, columns])
        # the Haar is scaled by sqrt(1/2) at another place: a few ties fall to the other side
        assert (z[:, columns] != rounded).float().mean() < 5e-3
        assert (z[:, columns] - rounded).abs().max() <= 1
        torch.testing.assert_close(scales[number], scale, rtol=1e-6, atol=0)


@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_an_activation_that_is_not_finite_spoils_its_own_token_only(bad):
    packed, x = striped(pack(made(16, 640, 128, 'haar', 'haar'))), inputs(3, 640)
    x[1, 5] = bad
    got = triton_linear.INT8.linear(x, packed)
    assert not torch.isfinite(got[1]).any()
    assert torch.isfinite(got[[0, 2]]).all()


def test_whole_numbers_are_multiplied_without_any_error():
    weight = made(16, 512, 0, 'none', 'none')
    unit = BinaryWeight(weight.layout, weight.signs, weight.levels, torch.ones(16, 1))
    x = torch.randint(-126, 127, (4, 512), generator=torch.Generator().manual_seed(0)).float()
    x[:, 0] = 127  # the scale is 1
    assert torch.equal(
        triton_linear.INT8.linear(x, striped(pack(unit))), x @ unit.dequantize().T.contiguous()
    )


@pytest.mark.parametrize('linear', [triton_linear.EXACT.linear, triton_linear.INT8.linear])
def test_zero_huge_and_tiny_activations_stay_what_they_are(linear):
    weight = made(16, 128, 0, 'none', 'none')
    packed, dense = striped(pack(weight)), weight.dequantize()
    for scale in (0.0, 1e30, 1e-30, 1e-42):
        x = torch.full((2, 128), scale)
        bound = 1e-4 * scale + 1e-38  # below the smallest normal number digits are lost
        torch.testing.assert_close(linear(x, packed), x @ dense.T, rtol=1e-3, atol=bound)


def test_strided_rows_and_leading_dimensions_do_not_matter():
    packed = striped(pack(made(16, 128, 0, 'haar', 'none')))
    x = inputs(12, 256).reshape(3, 4, 256)
    strided, transposed = x[..., :128], x[..., :128].mT.contiguous().mT
    whole = triton_linear.EXACT.linear(strided.contiguous(), packed)
    assert whole.shape == (3, 4, 16)
    assert torch.equal(triton_linear.EXACT.linear(strided, packed), whole)
    assert torch.equal(triton_linear.EXACT.linear(transposed, packed), whole)


@pytest.mark.parametrize('transform', ['haar', 'hadamard', 'haar3'])
def test_the_norm_before_the_prologue_is_that_of_torch(transform):
    packed = pack(made(16, 1300, 20, transform, 'haar'))
    x, weight = inputs(3, 1300), inputs(1, 1300)[0]
    z, _ = triton_launch.prologue(x, packed.layout, integer=False, norm=(weight, 1e-6))
    normed = torch.nn.functional.rms_norm(x, (1300,), weight, 1e-6)
    expected = packed.layout.to_virtual(packed.layout.forward(normed))
    torch.testing.assert_close(z, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('allows_int8', [False, True])
def test_a_family_shares_a_prologue_with_its_norm_and_a_sum_takes_the_product(allows_int8):
    weights = [made(24, 384, 0, 'hadamard', 'none') for _ in range(3)]
    layout = weights[0].layout
    layers = [
        BinaryLinear(replace(striped(pack(one)), layout=layout, allows_int8=allows_int8), bias)
        for one, bias in zip(weights, (None, torch.ones(24), None), strict=True)
    ]
    x, add, weight = inputs(5, 384), inputs(5, 384).flip(0), inputs(1, 384)[0]
    whole = x + add
    read = torch.nn.functional.rms_norm(whole, (384,), weight, 1e-6)
    found = sharing(layers, x, RmsNorm(weight, 1e-6, add))
    assert torch.equal(x, whole)
    for layer, one in zip(layers, found, strict=True):
        # a rounding of the norm may tip an int8 activation over
        torch.testing.assert_close(one, layer(read), rtol=1e-4, atol=2e-2 if allows_int8 else 1e-4)
    there = torch.ones(5, 24)
    assert layers[1](read, add_to=there).data_ptr() == there.data_ptr()
    torch.testing.assert_close(there, layers[1](read) + 1)


@pytest.mark.parametrize('linear', [triton_linear.EXACT.linear, triton_linear.INT8.linear])
def test_sharing_a_tile_among_programs_changes_no_more_than_the_last_bits(linear, monkeypatch):
    packed, x = striped(pack(made(24, 1152, 384, 'haar', 'haar'))), inputs(5, 1152)
    monkeypatch.setattr(triton_launch, 'choose_split', lambda *_: 1)
    alone = linear(x, packed)
    for split in (2, 8):
        monkeypatch.setattr(triton_launch, 'choose_split', lambda *_, split=split: split)
        torch.testing.assert_close(linear(x, packed), alone, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize('key', gpu_tiles.TILES[80])
def test_every_tile_gives_the_product(key, monkeypatch):
    kind, size = key
    linear = triton_linear.INT8.linear if kind == gpu_tiles.INT8 else triton_linear.EXACT.linear
    dtype = torch.float16 if kind == gpu_tiles.HALF else torch.float32
    weight = made(24, 384, 128, 'haar', 'haar')
    x = inputs(3, 384, dtype)
    tile = gpu_tiles.TILES[80][kind, size]
    monkeypatch.setattr(triton_launch, 'choose_tile', lambda *_: tile)
    dense = x.double() @ weight.dequantize().double().T
    bound = 2e-2 if kind == gpu_tiles.INT8 else EXACT[dtype]  # int8: 1 % on normal activations
    got = linear(x, striped(pack(weight)))
    assert (got - dense).abs().max() <= bound * dense.abs().max()


def test_only_weights_in_the_form_for_gpus_are_taken():
    packed, x = pack(made(16, 128, 0, 'none', 'none')), inputs(1, 128)
    assert not triton_linear.EXACT.supports(packed, x)
    assert triton_linear.EXACT.supports(striped(packed), x)
    assert not triton_linear.EXACT.supports(striped(packed), x.double())
    assert not triton_linear.EXACT.supports(striped(packed), x[:0])
