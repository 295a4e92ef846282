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

"""Damaged files of others are refused with words of ours, or read as something valid."""

from pathlib import Path

from benchmarks.fuzz.__main__ import single_bytes
from benchmarks.fuzz.mutate import mutate
from benchmarks.fuzz.small import small_artifact
from benchmarks.fuzz.targets import fuzz, targets
from hbvla_ros.artifact.store import read_manifest
from hbvla_ros.core.errors import ArtifactError
from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

COUNTS = {
    'artifact': 60,
    'manifest': 120,
    'robot file': 150,
    'checkpoint': 15,
    'HDF5 episode': 60,
    'bag, mcap': 60,
    'bag, sqlite3': 60,
}


@pytest.mark.parametrize('name', COUNTS)
def test_damage_is_refused_with_our_own_words_or_harmless(
    name: str, tiny_artifact: Path, tmp_path: Path
) -> None:
    found = fuzz(targets(tiny_artifact)[name], tmp_path / 'fuzz', COUNTS[name], seed=7)

    assert found.findings == []
    assert found.refused + found.read == COUNTS[name]
    assert found.growth_mib < 300


def test_a_single_changed_byte_of_an_artifact_is_found(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    (tmp_path / 'single').mkdir()
    found = single_bytes(tiny_artifact, tmp_path / 'single', 60)

    assert found['changed'] >= 55
    assert found['unnoticed'] == []


def test_every_byte_of_a_small_artifact_is_watched(tiny_artifact: Path, tmp_path: Path) -> None:
    (tmp_path / 'single').mkdir()
    small = small_artifact(tiny_artifact, tmp_path / 'small')
    every = sum(path.stat().st_size for path in small.iterdir())
    # One change of each byte here, nine in the benchmark.
    found = single_bytes(small, tmp_path / 'single', every)

    assert found['changed'] == found['bytes'] == every > 5000
    assert found['unnoticed'] == []


@pytest.mark.parametrize(('old', 'new'), [('\n', '\r'), (' ', '\t'), ('": ', '" :')])
def test_a_manifest_that_means_the_same_in_other_characters_is_refused(
    tiny_artifact: Path, tmp_path: Path, old: str, new: str
) -> None:
    text = (tiny_artifact / 'manifest.json').read_text(encoding='utf-8')
    place = text.index(old, len(text) // 2)
    end = place + len(old)
    text = text[:place] + new + text[end:]
    (tmp_path / 'manifest.json').write_bytes(text.encode())

    with pytest.raises(ArtifactError, match='in other characters'):
        read_manifest(tmp_path)


@given(st.binary(min_size=2, max_size=200), st.integers(0, 2**32 - 1))
def test_damage_always_changes_something(content: bytes, seed: int) -> None:
    assert mutate(content, np.random.default_rng(seed)) != content
