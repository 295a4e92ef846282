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

"""The benchmarks of kernels: their tables, and what they say without the rival's libraries."""

from benchmarks import full_size, kernels
from benchmarks.ggml import Ggml
import pytest


def _row(kernel, rival, m, ratio, **more):
    return {
        'kernel': kernel, 'shape': 'llm qkvo', 'out': 4096, 'in': 4096, 'm': m, 'threads': 1,
        'rival': rival, 'ratio_with_prologue': ratio, **more,
    }  # fmt: skip


def test_the_table_against_ggml_has_the_kernels_that_are_chosen_and_says_what_was_not_run():
    rows = [
        _row('avx512_lut', 'ggml Q1_0', 1, 4.12),
        _row('avx512_lut', 'ggml Q1_0', 16, 3.0),  # not chosen for so many rows
        _row('amx_int8', 'ggml Q1_0', 605, 31.0),
        _row('amx_int8', 'ggml IQ1_S', 605, 8.0),
        _row('amx_int8', 'torch bf16', 605, 2.0),
        _row('amx_int8', 'ggml Q1_0', 605, 99.0) | {'threads': 2},
    ]
    lines = kernels._against_ggml(rows).splitlines()
    assert lines[2:] == [
        '| avx512_lut | 4096 x 4096 | 1 | 4.1x | not run | not run |',
        '| amx_int8 | 4096 x 4096 | 605 | 31.0x | not run | 8.0x |',
    ]


def test_a_folder_without_ggml_is_refused_with_the_way_to_build_it(tmp_path):
    with pytest.raises(SystemExit, match=r'no libggml-base\.so in .*; build ggml with'):
        Ggml(tmp_path)


def test_a_file_that_is_no_library_is_named(tmp_path):
    (tmp_path / 'libggml-base.so').write_text('no library')
    with pytest.raises(SystemExit, match=r'libggml-base\.so does not load'):
        Ggml(tmp_path)


def test_the_short_table_of_the_published_size_names_rival_and_memory():
    bf16 = {'seconds_p50': 5.6, 'weights_mib': 14371}
    row = {
        'kernel': 'amx_int8', 'runs_on': 'amx_int8', 'artifact_mib': 1327, 'peak_rss_mib': 1962,
        'seconds_p50': 3.36, 'bf16': bf16,
    }  # fmt: skip
    exact = {**row, 'kernel': 'auto', 'runs_on': 'amx_bf16', 'bf16': bf16 | {'seconds_p50': 5.7}}
    lines = full_size.short_table([exact, row]).splitlines()
    assert lines[3] == '| packed, `amx_int8` | 1327 | 1962 | 3.36 |'
    assert lines[4] == '| torch, bfloat16 | 14371 | not measured | 5.60 to 5.70 |'
