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
Save and load packed artifacts: a folder with ``manifest.json`` and ``model.safetensors``.

Saving writes to a temporary folder beside the target and renames it, so a target is either whole
or absent. Loading checks every byte against the manifest before anything is used. No pickle.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
import hashlib
import os
from pathlib import Path
import shutil
import tempfile

from hbvla_ros.artifact.manifest import LayerEntry, Manifest
from hbvla_ros.artifact.size import weights_file_bytes
from hbvla_ros.binarize.layout import ColumnLayout
from hbvla_ros.core.errors import ArtifactError
from hbvla_ros.kernels.packing import array_shapes, PackedWeight
from safetensors import safe_open, SafetensorError
from safetensors.torch import save_file
import torch

MANIFEST, WEIGHTS = 'manifest.json', 'model.safetensors'
_NAMES = {
    torch.uint64: 'U64',
    torch.int64: 'I64',
    torch.float32: 'F32',
    torch.uint16: 'U16',
    torch.bfloat16: 'BF16',
    torch.float16: 'F16',
    torch.int8: 'I8',
}


@dataclass(frozen=True, eq=False)
class Artifact:
    """
    A whole artifact in memory.

    ``layers`` maps dotted names to packed weights, ``kept`` all other parameters and buffers by
    their names in the model, ``files`` small files (the tokenizer) by name.
    """

    manifest: Manifest
    layers: Mapping[str, PackedWeight]
    kept: Mapping[str, torch.Tensor]
    files: Mapping[str, bytes]


def save_artifact(artifact: Artifact, path: Path) -> Manifest:
    """
    Write an artifact folder.

    :param artifact: its manifest's ``tensors``, ``files`` and ``header_sha256`` are filled in here
    :param path: folder to create; must not exist
    :return: the manifest as written
    :raises ArtifactError: if ``path`` exists or can't be written
    """
    if path.exists():
        raise ArtifactError(f'{path} exists; choose another output folder or remove it')
    tensors = _layer_tensors(artifact) | {
        name: tensor.detach().contiguous().cpu() for name, tensor in artifact.kept.items()
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f'.{path.name}.', dir=path.parent))
    except OSError as error:
        raise ArtifactError(f'{path}: can not write there: {error}') from error
    try:
        save_file(tensors, folder / WEIGHTS)
        for name, content in artifact.files.items():
            (folder / name).write_bytes(content)
        manifest = replace(
            artifact.manifest,
            tensors={name: _describe(tensor) for name, tensor in tensors.items()},
            files={name: _sha(content) for name, content in artifact.files.items()},
            header_sha256=_sha(_header(folder / WEIGHTS)),
        )
        (folder / MANIFEST).write_text(manifest.to_json(), encoding='utf-8')
        folder.chmod(0o755)
        os.rename(folder, path)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f'{path}: writing failed, nothing was kept: {error}') from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return manifest


def load_artifact(path: Path) -> Artifact:
    """
    Read and verify an artifact folder.

    :param path: the folder
    :raises ArtifactError: if anything is missing, changed, truncated or newer than this program
    """
    manifest = read_manifest(path)
    outside = [name for name in manifest.files if Path(name).name != name]
    if outside:
        raise ArtifactError(f'{path}: files outside the folder are never read: {outside}')
    try:
        found, expected = (path / WEIGHTS).stat().st_size, weights_file_bytes(manifest.tensors)
        if found != expected:
            raise ArtifactError(
                f'{path / WEIGHTS} has {found} bytes, its manifest makes it {expected}; copy the '
                'artifact again'
            )
        if _sha(_header(path / WEIGHTS)) != manifest.header_sha256:
            raise ArtifactError(
                f'{path / WEIGHTS}: the header was changed; copy the artifact again'
            )
        with safe_open(path / WEIGHTS, framework='pt') as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        files = {name: (path / name).read_bytes() for name in manifest.files}
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f'{path}: not a complete artifact: {error}') from error
    _verify(path, manifest, tensors, files)
    layers = _layers(path, manifest, tensors)
    packed = {name for layer in manifest.layers for name in _tensor_names(layer)}
    packed |= {_permutation_name(entry.family) for entry in manifest.layers.values()}
    kept = {name: tensor for name, tensor in tensors.items() if name not in packed}
    return Artifact(manifest, layers, kept, files)


def read_manifest(path: Path) -> Manifest:
    """
    Read the manifest alone; the weights are not verified.

    :raises ArtifactError: if it is missing, damaged or newer than this program
    """
    try:
        text = (path / MANIFEST).read_bytes().decode('utf-8')  # line ends count as well
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f'{path}: no readable {MANIFEST}: {error}') from error
    return Manifest.from_json(text, str(path / MANIFEST))


def read_tensor(path: Path, name: str) -> torch.Tensor:
    """
    Read one tensor of an artifact that was verified before.

    :param path: the artifact folder
    :param name: of a tensor that is not packed
    :raises ArtifactError: if it is not there any more
    """
    try:
        with safe_open(path / WEIGHTS, framework='pt') as file:
            tensor: torch.Tensor = file.get_tensor(name)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f'{path}: {name} can not be read any more: {error}') from error
    return tensor


def _layer_tensors(artifact: Artifact) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for name, packed in artifact.layers.items():
        arrays = (packed.bits.view(torch.uint64), packed.levels, packed.row_scale)
        tensors |= dict(zip(_tensor_names(name), arrays, strict=True))
        if packed.layout.permutation is not None:
            family = artifact.manifest.layers[name].family
            tensors[_permutation_name(family)] = packed.layout.permutation.to(torch.uint16)
    return tensors


def _tensor_names(layer: str) -> tuple[str, str, str]:
    return f'{layer}.bits', f'{layer}.levels', f'{layer}.row_scale'


def _permutation_name(family: str) -> str:
    return f'{family}.permutation'


def _layers(
    path: Path, manifest: Manifest, tensors: Mapping[str, torch.Tensor]
) -> dict[str, PackedWeight]:
    permutations = {
        entry.family: tensors[_permutation_name(entry.family)].to(torch.int64)
        for entry in manifest.layers.values()
        if entry.has_permutation and _permutation_name(entry.family) in tensors
    }
    layers = {}
    layouts: dict[tuple[object, ...], ColumnLayout] = {}
    for name, entry in manifest.layers.items():
        columns = (entry.shape[1], entry.num_salient, entry.transform, entry.salient_transform)
        family = (entry.family, *columns)
        if family not in layouts:  # its members share one
            layouts[family] = _layout(entry, permutations.get(entry.family))
        layout = layouts[family]
        arrays = {
            key: tensors.get(full)
            for key, full in zip(('bits', 'levels', 'row_scale'), _tensor_names(name), strict=True)
        }
        expected = array_shapes(entry.shape[0], layout)
        for key, array in arrays.items():
            if array is None or tuple(array.shape) != expected[key]:
                came = 'nothing' if array is None else tuple(array.shape)
                raise ArtifactError(f'{path}: {name}.{key} should be {expected[key]}, got {came}')
        bits, levels, row_scale = (arrays[key] for key in ('bits', 'levels', 'row_scale'))
        assert bits is not None
        assert levels is not None
        assert row_scale is not None
        layers[name] = PackedWeight(
            layout, entry.shape[0], bits.view(torch.int64), levels, row_scale
        )
    return layers


def _layout(entry: LayerEntry, permutation: torch.Tensor | None) -> ColumnLayout:
    if permutation is not None:
        ordered = permutation.sort().values
        if not torch.equal(ordered, torch.arange(entry.shape[1])):
            raise ArtifactError(f'{entry.family}: its permutation is none')
    return ColumnLayout(
        in_features=entry.shape[1],
        num_salient=entry.num_salient,
        transform=entry.transform,
        salient_transform=entry.salient_transform,
        permutation=permutation,
    )


def _verify(
    path: Path,
    manifest: Manifest,
    tensors: Mapping[str, torch.Tensor],
    files: Mapping[str, bytes],
) -> None:
    different = sorted(set(tensors) ^ set(manifest.tensors))
    if different:
        raise ArtifactError(f'{path}: tensors missing or not in the manifest: {different[:5]}')
    # Hashing a large buffer releases the interpreter's lock: every processor takes its share.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        described = dict(zip(tensors, pool.map(_describe, tensors.values()), strict=True))
    for name, tensor in described.items():
        if tensor != dict(manifest.tensors[name]):
            raise ArtifactError(
                f'{path}: tensor {name} does not match its SHA-256; the file was changed or '
                'damaged, copy the artifact again'
            )
    for name, content in files.items():
        if _sha(content) != manifest.files[name]:
            raise ArtifactError(f'{path / name} does not match its SHA-256; copy it again')


def _describe(tensor: torch.Tensor) -> dict[str, object]:
    raw = tensor.contiguous().flatten().view(torch.uint8).numpy()
    return {'dtype': _NAMES[tensor.dtype], 'shape': list(tensor.shape), 'sha256': _sha(raw.data)}


def _header(path: Path) -> bytes:
    with path.open('rb') as file:
        length = file.read(8)
        return length + file.read(min(int.from_bytes(length, 'little'), 100_000_000))


def _sha(content: bytes | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()
