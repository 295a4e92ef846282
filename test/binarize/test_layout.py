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

"""Permutation, padding and transform keep every product."""

from hbvla_ros.binarize.layout import ColumnLayout, padded
from hbvla_ros.core.errors import ConfigError
from hypothesis import given, settings
from hypothesis import strategies as st
import pytest
import torch


def layouts():
    """Draw layouts of awkward widths."""
    return st.builds(
        _layout,
        n=st.integers(2, 400),
        share=st.floats(0, 0.9),
        transform=st.sampled_from(['none', 'haar']),
        seed=st.integers(0, 99),
    )


def _layout(n, share, transform, seed):
    permutation = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return ColumnLayout(n, min(int(n * share), n - 1), transform, transform, permutation)


@settings(max_examples=40, deadline=None)
@given(layout=layouts())
def test_products_are_the_same_in_both_bases(layout):
    g = torch.Generator().manual_seed(1)
    w = torch.randn(3, layout.in_features, generator=g, dtype=torch.float64)
    x = torch.randn(4, layout.in_features, generator=g, dtype=torch.float64)
    torch.testing.assert_close(layout.forward(x) @ layout.forward(w).T, x @ w.T)


@settings(max_examples=40, deadline=None)
@given(layout=layouts())
def test_inverse_restores_the_columns(layout):
    w = torch.randn(3, layout.in_features, dtype=torch.float64)
    torch.testing.assert_close(layout.inverse(layout.forward(w)), w)


@settings(max_examples=20, deadline=None)
@given(layout=layouts())
def test_each_place_knows_its_input_column(layout):
    x = torch.arange(layout.in_features) + 100
    sources = layout.sources()
    expected = torch.where(sources >= 0, sources + 100, 0)
    assert torch.equal(layout.gather(x), expected)


@settings(max_examples=20, deadline=None)
@given(layout=layouts())
def test_the_transform_acts_block_by_block(layout):
    x = torch.randn(3, layout.width, dtype=torch.float64)
    parts = [turn(x[:, span]) for span, turn in layout.transform_blocks()]
    torch.testing.assert_close(torch.cat(parts, dim=1), layout.turn(x))


def test_widths_of_a_ragged_layout_worked_by_hand():
    # 4304 = 33 * 128 + 80; with 100 salient columns 4204 remain, 33 groups; 100 pad to 128.
    layout = ColumnLayout(4304, 100)
    assert (layout.plain_width, layout.salient_width) == (4224, 128)
    assert (layout.width, layout.virtual_width, layout.segments) == (4352, 4480, 2)


@pytest.mark.parametrize(('count', 'expected'), [(0, 0), (1, 128), (128, 128), (129, 256)])
def test_padding_goes_to_whole_groups(count, expected):
    assert padded(count) == expected


def test_all_columns_may_be_salient():
    layout = ColumnLayout(200, 200)
    assert (layout.plain_width, layout.virtual_width, layout.segments) == (0, 512, 1)


def test_more_salient_columns_than_there_are_is_refused():
    with pytest.raises(ConfigError, match=r'num_salient must be in 0\.\.10, got 11'):
        ColumnLayout(10, 11)
