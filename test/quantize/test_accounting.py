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

"""Bits of quantized layers, at their own widths and at OpenVLA-OFT's."""

from builders import stats_of, tiny_layer
from hbvla_ros.binarize.method import make_config, METHODS
from hbvla_ros.kernels.packing import pack, permutation_bytes
from hbvla_ros.models.openvla_oft.config import find_preset
from hbvla_ros.quantize.accounting import count_bits, level_bits_at_oft, OFT_FAMILIES
from hbvla_ros.quantize.state import QuantizedLayer
import pytest


def _layers(name, rows=(24, 40), n=256, **settings):
    weight, x = tiny_layer(out=sum(rows), n=n)
    method = METHODS[name]
    codes = method.quantize(weight.split(rows), stats_of(x), make_config(method, settings))
    return {
        str(i): QuantizedLayer(code, 'language', '0', 0.0, 0.0, 0.0)
        for i, code in enumerate(codes)
    }


def test_the_families_hold_all_weights_that_are_quantized_by_default():
    # method.md 17.3: 6,476,005,376 + 289,406,976 + 395,845,632 + 71,368,704
    total = sum(f.repeats * f.in_features * sum(f.out_features) for f in OFT_FAMILIES)
    assert total == 7_232_626_688
    assert find_preset('aloha')  # the widths are those of the checkpoint, not of a preset


@pytest.mark.parametrize(
    ('num_salient', 'permuted', 'expected'),
    # method.md 17.3, which counts a permutation everywhere: 1.136 and 1.181 for all components
    [(0, True, 1.136), (128, True, 1.181), (0, False, 1.133), (-1, False, 2.258)],
)
def test_the_level_format_at_the_widths_of_openvla_oft(num_salient, permuted, expected):
    assert level_bits_at_oft(num_salient, permuted=permuted) == pytest.approx(expected, abs=1.5e-3)


@pytest.mark.parametrize('name', ['rtn', 'hbvla', 'hbvla_plus', 'two_plane'])
def test_stored_bits_are_the_bytes_that_packing_gives(name):
    layers = _layers(name)
    packed = [pack(layer.weight) for layer in layers.values()]
    stored = sum(one.stored_bytes for one in packed) + permutation_bytes(packed[0].layout)
    assert count_bits(layers).stored * 64 * 256 == pytest.approx(8 * stored)


def test_baselines_are_counted_by_their_formulas_at_openvla_oft():
    mask = 1 / 4096
    assert count_bits(_layers('billm')).stored_at_oft == pytest.approx(3 + mask)
    assert count_bits(_layers('hbllm_col')).stored_at_oft == pytest.approx(2.875 + mask)
    row = count_bits(_layers('hbllm_row'))
    assert row.stored_at_oft == pytest.approx(3.25 + 2 * (row.sign - 1) + mask)


def test_a_ragged_last_block_is_not_held_against_a_baseline():
    # 192 columns are a block and a half: the parameters of the half block count half as much there
    bits = count_bits(_layers('billm', n=192))
    assert bits.stored_at_oft == pytest.approx(3 + 1 / 4096)
    assert bits.stored > 3.3


def test_a_mixture_of_one_and_two_planes_lies_between_them():
    one, two = _layers('hbvla_plus'), _layers('two_plane')
    mixed = one | {f'two {name}': layer for name, layer in two.items()}
    for name in two:
        object.__setattr__(mixed[f'two {name}'], 'family', 'two')
    bits = [count_bits(layers).stored_at_oft for layers in (one, mixed, two)]
    assert bits[1] == pytest.approx((bits[0] + bits[2]) / 2)
