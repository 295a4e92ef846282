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

"""The bit layout."""

from hbvla_ros.binarize.layout import ColumnLayout
from hbvla_ros.binarize.weight import BinaryWeight
from hbvla_ros.kernels import reference
from hbvla_ros.kernels.gpu import place
from hbvla_ros.kernels.packing import (
    array_shapes,
    pack,
    packed_bytes,
    permutation_bytes,
    striped,
    unpack,
)
from hypothesis import given, settings
from hypothesis import strategies as st
import pytest
import torch


def random_weight(out, n, salient=0, seed=0, transform='haar'):
    """Return a random weight on the level grid."""
    g = torch.Generator().manual_seed(seed)
    layout = ColumnLayout(n, salient, transform, transform, torch.randperm(n, generator=g))
    virtual = layout.virtual_width
    return BinaryWeight(
        layout,
        torch.rand(out, virtual, generator=g) < 0.5,
        torch.randint(-127, 128, (out, virtual // 128, 2), generator=g).to(torch.int8),
        torch.rand(out, layout.segments, generator=g) * 0.01,
    )


@settings(max_examples=30, deadline=None)
@given(out=st.integers(1, 50), n=st.integers(2, 300), seed=st.integers(0, 9))
def test_unpacking_restores_every_field(out, n, seed):
    weight = random_weight(out, n, salient=n // 3, seed=seed)
    again = unpack(pack(weight))
    assert torch.equal(again.signs, weight.signs)
    assert torch.equal(again.levels, weight.levels)
    assert torch.equal(again.row_scale, weight.row_scale)
    assert torch.equal(again.dequantize(), weight.dequantize())


def test_the_bit_of_row_3_column_22_is_where_the_format_says():
    signs = torch.zeros(16, 128, dtype=torch.bool)
    signs[3, 22] = True
    levels = torch.zeros(16, 1, 2, dtype=torch.int8)
    weight = BinaryWeight(ColumnLayout(128), signs, levels, torch.zeros(16, 1))
    bits = pack(weight).bits
    assert bits[0, 5].item() == 1 << 14  # word of columns 20..23, bit 4 * 3 + 2
    assert bits.count_nonzero() == 1


def test_levels_lie_lo_before_hi_with_rows_innermost():
    levels = torch.zeros(16, 1, 2, dtype=torch.int8)
    levels[7, 0] = torch.tensor([-5, 9], dtype=torch.int8)
    signs = torch.zeros(16, 128, dtype=torch.bool)
    packed = pack(BinaryWeight(ColumnLayout(128), signs, levels, torch.zeros(16, 1)))
    assert packed.levels[0, 0, :, 7].tolist() == [-5, 9]


@pytest.mark.parametrize(('out', 'n', 'salient'), [(16, 128, 0), (7, 80, 0), (33, 4304, 100)])
def test_stored_bytes_are_the_bytes_of_the_arrays(out, n, salient):
    packed = pack(random_weight(out, n, salient))
    arrays = (packed.bits, packed.levels, packed.row_scale)
    assert packed.stored_bytes == sum(a.numel() * a.element_size() for a in arrays)
    shapes = array_shapes(out, packed.layout)
    assert [tuple(a.shape) for a in arrays] == list(shapes.values())


@pytest.mark.parametrize(
    ('out', 'n', 'salient', 'family', 'bits'),
    # The table of stored bits that the format was designed to, at OpenVLA-OFT's shapes.
    [
        (4096, 4096, 0, 12288, 1.134),
        (4096, 4096, 128, 4096, 1.180),
        (11008, 4096, 128, 22016, 1.176),
        (4096, 11008, 0, 4096, 1.132),
        (4304, 1152, 0, 4304, 1.157),
        (1152, 4304, 256, 1152, 1.233),
        (4096, 4096, 4096, 4096, 2.262),  # two planes everywhere
        (4096, 11008, 11008, 4096, 2.257),
    ],
)
def test_stored_bits_at_published_shapes(out, n, salient, family, bits):
    layout = ColumnLayout(n, salient, 'haar', 'haar', torch.arange(n))
    stored = packed_bytes(out, layout) + permutation_bytes(layout) * out / family
    assert 8 * stored / (out * n) == pytest.approx(bits, abs=6e-4)  # the table has 3 decimals


def test_a_copy_on_another_device_is_equal():
    packed = pack(random_weight(5, 60, 9))
    assert torch.equal(unpack(packed.to('cpu')).dequantize(), unpack(packed).dequantize())


@settings(max_examples=20, deadline=None)
@given(out=st.integers(1, 300), n=st.integers(2, 300), seed=st.integers(0, 9))
def test_the_form_for_gpus_is_the_same_weight_in_as_many_bytes(out, n, seed):
    packed = pack(random_weight(out, n, salient=n // 3, seed=seed))
    other = striped(packed)
    assert (other.bits.numel() * 4, other.levels.numel()) == (
        packed.bits.numel() * 8,
        packed.levels.numel(),
    )
    assert torch.equal(unpack(other).signs, unpack(packed).signs)
    assert torch.equal(unpack(other).levels, unpack(packed).levels)


def test_the_form_for_gpus_has_column_38_of_row_3_where_the_page_says():
    signs = torch.zeros(16, 128, dtype=torch.bool)
    signs[3, 38] = True
    levels = torch.zeros(16, 1, 2, dtype=torch.int8)
    packed = striped(pack(BinaryWeight(ColumnLayout(128), signs, levels, torch.zeros(16, 1))))
    assert packed.bits[1, 3].item() == 1 << 17  # 38 = 32 + 4 * 1 + 2: bit 8 * 2 + 1
    assert packed.bits.count_nonzero() == 1


def test_both_forms_multiply_alike_and_lead_back_to_each_other():
    packed = pack(random_weight(40, 300, 20))
    x = torch.randn(3, 300, generator=torch.Generator().manual_seed(0))
    other = striped(packed)
    assert torch.equal(reference.linear(x, other), reference.linear(x, packed))
    again = place(other, torch.device('cpu'))
    assert torch.equal(again.bits, packed.bits)
    assert torch.equal(again.levels, packed.levels)


def test_linears_that_share_a_layout_share_it_on_another_device_too():
    weight = random_weight(8, 60)
    moved = [pack(weight).to('meta').layout for _ in range(2)]
    assert moved[0] is moved[1]
