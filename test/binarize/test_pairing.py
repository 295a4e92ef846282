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

"""The pairing permutation."""

from hbvla_ros.binarize.haar import haar
from hbvla_ros.binarize.pairing import greedy_pair
from hypothesis import given, settings
from hypothesis import strategies as st
import torch


@settings(max_examples=30, deadline=None)
@given(n=st.integers(0, 90), seed=st.integers(0, 9))
def test_it_is_a_permutation(n, seed):
    columns = torch.randn(6, n, generator=torch.Generator().manual_seed(seed))
    assert sorted(greedy_pair(columns).tolist()) == list(range(n))


def test_equal_columns_become_neighbours():
    g = torch.Generator().manual_seed(0)
    half = torch.randn(16, 5, generator=g)
    order = greedy_pair(torch.cat([half, half], dim=1)).tolist()
    pairs = {tuple(pair) for pair in zip(order[::2], order[1::2], strict=True)}
    assert pairs == {(i, i + 5) for i in range(5)}


def test_pairing_moves_energy_into_the_low_band():
    columns = torch.randn(32, 128, generator=torch.Generator().manual_seed(1))
    before = haar(columns)[:, :64].square().sum()
    after = haar(columns[:, greedy_pair(columns)])[:, :64].square().sum()
    assert after > 1.1 * before
