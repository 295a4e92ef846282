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

"""Saving and loading artifacts, and everything that can be wrong with one."""

from dataclasses import replace
import json
from pathlib import Path
import shutil

from hbvla_ros.artifact.manifest import Manifest
from hbvla_ros.artifact.size import weights_file_bytes
from hbvla_ros.artifact.store import _NAMES, load_artifact, read_manifest, save_artifact
from hbvla_ros.core.errors import ArtifactError
from hbvla_ros.kernels.packing import packed_bytes, permutation_bytes
import pytest
from safetensors.torch import save_file
import torch

WEIGHTS = 'model.safetensors'


@pytest.fixture
def own_artifact(tiny_artifact: Path, tmp_path: Path) -> Path:
    """Return a copy that the test may damage."""
    return shutil.copytree(tiny_artifact, tmp_path / 'artifact')


def _flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))


def _edit(path: Path, change) -> None:
    data = json.loads((path / 'manifest.json').read_text())
    change(data)
    (path / 'manifest.json').write_text(json.dumps(data))


def test_saving_what_was_loaded_gives_the_same_bytes(tiny_artifact, tmp_path):
    save_artifact(load_artifact(tiny_artifact), tmp_path / 'again')
    for file in sorted(tiny_artifact.iterdir()):
        assert (tmp_path / 'again' / file.name).read_bytes() == file.read_bytes(), file.name


def test_the_file_size_equals_the_formula_to_the_byte(tiny_artifact):
    manifest = read_manifest(tiny_artifact)
    size = (tiny_artifact / WEIGHTS).stat().st_size
    assert weights_file_bytes(manifest.tensors) == size


@pytest.mark.parametrize('seed', range(20))
def test_the_formula_holds_for_any_mixture_of_types(tmp_path, seed):
    # The order of the tensors decides how many digits their offsets have.
    g = torch.Generator().manual_seed(seed)
    tensors = {}
    for number in torch.randperm(40, generator=g).tolist():
        dtype = list(_NAMES)[int(torch.randint(len(_NAMES), (1,), generator=g))]
        size = int(torch.randint(1, 3000, (1,), generator=g))
        tensors[f'{number:x}.weight'] = torch.zeros(size).to(dtype)
    save_file(tensors, tmp_path / WEIGHTS)
    table = {name: {'dtype': _NAMES[t.dtype], 'shape': t.shape} for name, t in tensors.items()}
    assert weights_file_bytes(table) == (tmp_path / WEIGHTS).stat().st_size


def test_stored_bits_count_every_byte_of_the_layers(tiny_artifact):
    artifact = load_artifact(tiny_artifact)
    layers, totals = artifact.manifest.layers, artifact.manifest.totals
    one_per_family = {layers[name].family: packed for name, packed in artifact.layers.items()}
    stored = sum(packed_bytes(p.out_features, p.layout) for p in artifact.layers.values())
    stored += sum(permutation_bytes(packed.layout) for packed in one_per_family.values())
    kept = sum(tensor.numel() * tensor.element_size() for tensor in artifact.kept.values())
    weights = sum(entry.shape[0] * entry.shape[1] for entry in layers.values())
    assert totals['bits_stored'] * weights / 8 == pytest.approx(stored, abs=1e-6)
    by_layer = sum(e.bits_stored * e.shape[0] * e.shape[1] / 8 for e in layers.values())
    assert by_layer == pytest.approx(stored, abs=1e-6)
    with (tiny_artifact / WEIGHTS).open('rb') as file:
        header = int.from_bytes(file.read(8), 'little')
    assert (tiny_artifact / WEIGHTS).stat().st_size == 8 + header + stored + kept


def test_members_of_a_family_share_one_permutation(tiny_artifact):
    artifact = load_artifact(tiny_artifact)
    permutations = [name for name in artifact.manifest.tensors if name.endswith('.permutation')]
    families = {entry.family for entry in artifact.manifest.layers.values()}
    assert sorted(permutations) == sorted(f'{family}.permutation' for family in families)


@pytest.mark.parametrize('share', [0.0, 0.001, 0.01, 0.3, 0.6, 0.99])
def test_a_flipped_bit_in_the_weights_is_found(own_artifact, share):
    size = (own_artifact / WEIGHTS).stat().st_size
    _flip(own_artifact / WEIGHTS, int(share * size))
    with pytest.raises(ArtifactError):
        load_artifact(own_artifact)


def test_a_flipped_bit_in_a_tensor_is_named(own_artifact):
    _flip(own_artifact / WEIGHTS, -1)
    with pytest.raises(ArtifactError, match='does not match its SHA-256'):
        load_artifact(own_artifact)


@pytest.mark.parametrize('at', [0, 20, 500, 5000, -3])
def test_a_flipped_bit_in_the_manifest_is_found(own_artifact, at):
    _flip(own_artifact / 'manifest.json', at)
    with pytest.raises(ArtifactError):
        load_artifact(own_artifact)


def test_a_flipped_bit_in_the_tokenizer_is_found(own_artifact):
    _flip(own_artifact / 'tokenizer.json', 100)
    with pytest.raises(ArtifactError, match=r'tokenizer\.json does not match'):
        load_artifact(own_artifact)


@pytest.mark.parametrize('name', ['manifest.json', WEIGHTS, 'tokenizer.json'])
@pytest.mark.parametrize('keep', [0, 0.5, 0.999])
def test_a_truncated_file_is_an_error(own_artifact, name, keep):
    path = own_artifact / name
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(ArtifactError):
        load_artifact(own_artifact)


def test_a_byte_too_many_is_found_with_both_sizes(own_artifact):
    size = (own_artifact / WEIGHTS).stat().st_size
    with (own_artifact / WEIGHTS).open('ab') as file:
        file.write(b'x')
    with pytest.raises(ArtifactError, match=f'has {size + 1} bytes, its manifest makes it {size}'):
        load_artifact(own_artifact)


def test_a_manifest_that_names_a_file_outside_the_folder_is_refused(tiny_artifact, tmp_path):
    # The checksum is right here: the manifest was written like this.
    shutil.copytree(tiny_artifact, tmp_path / 'bad')
    manifest = read_manifest(tiny_artifact)
    other = replace(manifest, files={**manifest.files, '../secret': '0' * 64})
    (tmp_path / 'bad' / 'manifest.json').write_text(other.to_json())
    with pytest.raises(ArtifactError, match='outside the folder are never read'):
        load_artifact(tmp_path / 'bad')


@pytest.mark.parametrize('name', ['manifest.json', WEIGHTS, 'tokenizer.json'])
def test_a_missing_file_is_an_error(own_artifact, name):
    (own_artifact / name).unlink()
    with pytest.raises(ArtifactError):
        load_artifact(own_artifact)


def test_a_newer_schema_is_refused_with_both_versions(own_artifact):
    _edit(own_artifact, lambda data: data.update(schema_version=99))
    with pytest.raises(ArtifactError, match='schema 99 is newer than 1; upgrade hbvla_ros'):
        load_artifact(own_artifact)


def test_an_edited_number_is_found(own_artifact):
    _edit(own_artifact, lambda data: data['facts'].update(chunk_size=8))
    with pytest.raises(ArtifactError, match='checksum does not match'):
        load_artifact(own_artifact)


def test_a_permutation_that_repeats_a_column_is_refused(tiny_artifact, tmp_path):
    # Hashes are right here: the file was written like this.
    artifact = load_artifact(tiny_artifact)
    name = next(iter(artifact.layers))
    artifact.layers[name].layout.permutation[:2] = 0
    save_artifact(artifact, tmp_path / 'bad')
    with pytest.raises(ArtifactError, match='permutation'):
        load_artifact(tmp_path / 'bad')


def test_an_existing_folder_is_never_overwritten(tiny_artifact):
    with pytest.raises(ArtifactError, match='exists; choose another output folder'):
        save_artifact(load_artifact(tiny_artifact), tiny_artifact)


def test_a_failed_save_leaves_nothing_behind(tiny_artifact, tmp_path):
    artifact = load_artifact(tiny_artifact)
    artifact.files['sub/none.txt'] = b''  # its folder does not exist: writing fails
    with pytest.raises(ArtifactError, match='nothing was kept'):
        save_artifact(artifact, tmp_path / 'out')
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_manifest_is_no_artifact(tmp_path):
    with pytest.raises(ArtifactError, match=r'no readable manifest\.json'):
        load_artifact(tmp_path)


def test_the_manifest_survives_its_own_text(tiny_artifact):
    manifest = read_manifest(tiny_artifact)
    assert Manifest.from_json(manifest.to_json(), 'here') == manifest


def test_weights_are_used_where_the_file_is_mapped_without_a_copy(tiny_artifact):
    artifact = load_artifact(tiny_artifact)
    regions = [
        [int(end, 16) for end in line.split()[0].split('-')]
        for line in Path('/proc/self/maps').read_text(encoding='utf-8').splitlines()
        if line.endswith(str(tiny_artifact / WEIGHTS))
    ]
    held = [*artifact.kept.values()]
    held += [t for p in artifact.layers.values() for t in (p.bits, p.levels, p.row_scale)]
    for tensor in held:
        assert any(start <= tensor.data_ptr() < end for start, end in regions)


def test_linears_of_a_family_share_their_layout(tiny_artifact):
    artifact = load_artifact(tiny_artifact)
    shared: dict[str, object] = {}
    for name, entry in artifact.manifest.layers.items():
        layout = artifact.layers[name].layout
        assert shared.setdefault(entry.family, layout) is layout


def test_loaded_tensors_do_not_depend_on_the_file(own_artifact):
    artifact = load_artifact(own_artifact)
    before = {name: tensor.clone() for name, tensor in artifact.kept.items()}
    shutil.rmtree(own_artifact)
    assert all(torch.equal(artifact.kept[name], tensor) for name, tensor in before.items())
