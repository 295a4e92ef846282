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

"""Activations in memory up to a budget, in files beyond it."""

from hbvla_ros.core.errors import CalibrationError
from hbvla_ros.quantize.activations import Activations
import pytest
import torch


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize('budget', [0, 1 << 20])
def test_every_value_comes_back_bit_for_bit(tmp_path, dtype, budget):
    tensors = [torch.randn(3, n, 5).to(dtype) for n in (1, 7)]
    store = Activations(budget, tmp_path / 'spill')
    kept = [store.keep(tensor) for tensor in tensors]
    for tensor, one in zip(tensors, kept, strict=True):
        assert one.get().dtype == dtype
        assert torch.equal(one.get(), tensor)


def test_only_what_exceeds_the_budget_goes_to_files(tmp_path):
    store = Activations(1000, tmp_path)
    first = store.keep(torch.zeros(200))  # 800 bytes
    second = store.keep(torch.ones(100))  # 400 more: does not fit
    assert (len(list(tmp_path.iterdir())), store.spilled_bytes) == (1, 400)
    first.drop()
    third = store.keep(torch.ones(200))  # the room is free again
    assert len(list(tmp_path.iterdir())) == 1
    second.drop()
    assert not list(tmp_path.iterdir())
    assert torch.equal(third.get(), torch.ones(200))


def test_without_a_folder_the_budget_is_no_limit():
    store = Activations(0)
    assert torch.equal(store.keep(torch.ones(4)).get(), torch.ones(4))
    assert store.spilled_bytes == 0


def test_a_disk_that_can_not_be_written_is_named(tmp_path):
    (tmp_path / 'file').write_text('')
    store = Activations(0, tmp_path / 'file')
    with pytest.raises(CalibrationError, match='activation_budget_mib'):
        store.keep(torch.ones(4))
