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
The working folder of a job beside its output: what is done survives a kill at any moment.

Each finished block is one file that appears whole (temporary name, then rename). A job that starts
again with equal settings and data takes finished blocks from there, recomputes the activations
through them and goes on with the next block; the result has the same bytes. The folder goes when
the artifact is there.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
import hashlib
import json
import os
from pathlib import Path
import shutil
from typing import Any

from hbvla_ros import __version__
from hbvla_ros.binarize.layout import ColumnLayout
from hbvla_ros.binarize.weight import BinaryWeight
from hbvla_ros.core.errors import ArtifactError
from hbvla_ros.models.base import Block
from hbvla_ros.quantize.activations import Activations
from hbvla_ros.quantize.blocks import BlockMemory
from hbvla_ros.quantize.job import PLACES
from hbvla_ros.quantize.preparation import Provenance
from hbvla_ros.quantize.state import BlockJob, QuantizedLayer
import numpy as np
from safetensors import safe_open, SafetensorError
from safetensors.torch import save_file
import torch

FINGERPRINT = 'job.sha256'
_LAYOUT = [field.name for field in fields(ColumnLayout) if field.name != 'permutation']
_FACTS = [field.name for field in fields(QuantizedLayer) if field.name != 'weight']


@dataclass(frozen=True)
class WorkFolder(BlockMemory):
    """The folder; ``fingerprint`` is everything that decides about the bytes of the result."""

    path: Path
    fingerprint: str

    @classmethod
    def beside(cls, output: Path, provenance: Provenance) -> 'WorkFolder':
        """Return the working folder of an output, for a job with all its inputs."""
        facts = asdict(provenance.job)
        for name in PLACES:
            del facts[name]
        facts |= {
            'source': provenance.source['sha256'],
            'samples': provenance.samples_hash,
            'package_version': __version__,
            'threads': torch.get_num_threads(),
        }
        text = json.dumps(facts, sort_keys=True)
        path = output.parent / f'.{output.name}.partial'
        return cls(path, hashlib.sha256(text.encode()).hexdigest())

    def begin(self) -> int:
        """
        Create the folder, or take up the one that is there.

        :return: how many blocks it already holds
        :raises ArtifactError: if it belongs to another job or can't be written
        """
        note = self.path / FINGERPRINT
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(self._spill, ignore_errors=True)
            if not note.exists():
                _write_whole(note, lambda file: file.write_text(self.fingerprint))
            found = note.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ArtifactError(f'{self.path}: can not work there: {error}') from error
        if found != self.fingerprint:
            raise ArtifactError(
                f'{self.path} holds a job that was interrupted and had other settings, data or '
                'program version; remove that folder or choose another output'
            )
        return len(list(self.path.glob('block.*.safetensors')))

    def activations(self, budget_mib: int) -> Activations:
        """Return a keeper of activations whose files lie in this folder."""
        return Activations(budget_mib << 20, self._spill)

    @property
    def _spill(self) -> Path:
        return self.path / 'activations'

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)

    def restore(self, job: BlockJob, block: Block) -> bool:
        """
        Put a finished block's result into the job and its model.

        :raises ArtifactError: if its file is damaged
        """
        file = self._file(block)
        if not file.exists():
            return False
        try:
            with safe_open(file, framework='pt') as tensors:
                facts = json.loads(tensors.metadata()['facts'])
                found = {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118
            _restore_block(job, block, facts, found)
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(
                f'{file} is damaged ({error!r}); remove it, the block will be quantized again'
            ) from error
        return True

    def store(self, job: BlockJob, block: Block) -> None:
        """
        Remember a finished block.

        :raises ArtifactError: if the disk is full or not writable
        """
        tensors: dict[str, torch.Tensor] = {}
        layers: dict[str, Any] = {}
        for name in (name for family in block.families for name in family):
            layer = job.layers[name]
            assert isinstance(layer.weight, BinaryWeight)
            tensors |= _weight_tensors(name, layer.weight)
            layout = {entry: getattr(layer.weight.layout, entry) for entry in _LAYOUT}
            layers[name] = {'layout': layout} | {fact: getattr(layer, fact) for fact in _FACTS}
        if block.name in job.tuned:
            module = job.model.get_submodule(block.name)
            tensors |= {
                f'tuned {name}': tensor.detach().clone()
                for name, tensor in module.named_parameters()
                if tensor.ndim == 1
            }
        facts = json.dumps({'layers': layers, 'tuned': job.tuned.get(block.name)})
        try:
            _write_whole(
                self._file(block), lambda file: save_file(tensors, file, {'facts': facts})
            )
        except (OSError, SafetensorError) as error:
            raise ArtifactError(
                f'{self.path}: a finished block could not be written: {error}; free some '
                'space and start the job again, it goes on from there'
            ) from error

    def _file(self, block: Block) -> Path:
        return self.path / f'block.{block.name}.safetensors'


def _write_whole(file: Path, write: Any) -> None:
    new = file.with_name(f'{file.name}.new')
    write(new)
    os.replace(new, file)


def _weight_tensors(name: str, weight: BinaryWeight) -> dict[str, torch.Tensor]:
    tensors = {
        f'{name} signs': torch.from_numpy(np.packbits(weight.signs.cpu().numpy(), axis=1)),
        f'{name} levels': weight.levels.cpu().contiguous(),
        f'{name} row_scale': weight.row_scale.cpu().contiguous(),
    }
    if weight.layout.permutation is not None:
        tensors[f'{name} permutation'] = weight.layout.permutation.cpu().clone()
    return tensors


def _restore_block(
    job: BlockJob, block: Block, facts: Mapping[str, Any], found: Mapping[str, torch.Tensor]
) -> None:
    module = job.model.get_submodule(block.name)
    for name, entry in facts['layers'].items():
        layout = ColumnLayout(**entry['layout'], permutation=found.get(f'{name} permutation'))
        bits = np.unpackbits(found[f'{name} signs'].numpy(), axis=1)
        weight = BinaryWeight(
            layout,
            torch.from_numpy(bits[:, : layout.virtual_width]).bool(),
            found[f'{name} levels'],
            found[f'{name} row_scale'],
        )
        job.model.get_parameter(f'{name}.weight').copy_(weight.dequantize())
        job.layers[name] = QuantizedLayer(weight, **{fact: entry[fact] for fact in _FACTS})
    for name, tensor in found.items():
        if name.startswith('tuned '):
            module.get_parameter(name.removeprefix('tuned ')).copy_(tensor)
    if facts['tuned']:
        before, after = facts['tuned']
        job.tuned[block.name] = before, after
