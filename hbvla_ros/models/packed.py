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

"""Build a runnable model from a packed artifact."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
import re

from hbvla_ros.artifact.manifest import Manifest
from hbvla_ros.artifact.store import Artifact, load_artifact
from hbvla_ros.core.errors import ArtifactError, ConfigError
from hbvla_ros.kernels.dispatch import choose
from hbvla_ros.kernels.packing import PackedWeight, unpack
from hbvla_ros.models.base import MODELS, PolicyFacts, VlaModel
from hbvla_ros.models.fused import fuse
from hbvla_ros.models.linear import BinaryLinear
from hbvla_ros.models.surgery import insert_packed
import torch

_MODULATION = re.compile(r'\.blocks\.\d+\.(scale|shift)\.')
PACKED, DEQUANT = 'packed', 'dequant'
BACKENDS = (PACKED, DEQUANT)
EXACT, INT8 = 'exact', 'int8'
ACTIVATIONS = (EXACT, INT8)
_TOKENS = 256  # of a forward pass: a picture or more


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model ready to run and the manifest of the artifact it came from."""

    model: VlaModel
    manifest: Manifest


def load_packed(path: Path, *, backend: str = PACKED, activations: str = EXACT) -> LoadedModel:
    """
    Load and verify an artifact and build its model on the CPU.

    :param path: the artifact folder
    :param backend: ``packed`` keeps the weights packed, ``dequant`` restores dense ones from them
    :param activations: ``exact``, or ``int8`` in the layers whose manifest entry allows it
    :raises ArtifactError: if the artifact is damaged or does not fit its own architecture
    :raises ConfigError: for an unknown backend or kind of activations
    """
    artifact = load_artifact(path)
    if activations not in ACTIVATIONS:
        raise ConfigError(f'unknown activations {activations!r}; known: {", ".join(ACTIVATIONS)}')
    if activations == INT8:
        artifact = replace(artifact, layers=_with_int8(artifact))
    return LoadedModel(build_packed(artifact, backend=backend), artifact.manifest)


def _with_int8(artifact: Artifact) -> dict[str, PackedWeight]:
    entries = artifact.manifest.layers
    return {
        name: replace(packed, allows_int8=entries[name].allows_int8)
        for name, packed in artifact.layers.items()
    }


def build_packed(artifact: Artifact, *, backend: str = PACKED) -> VlaModel:
    """
    Build the model of an artifact in memory; raises like :func:`load_packed`.

    :param artifact: verified contents
    :param backend: ``packed`` or ``dequant``
    """
    if backend not in BACKENDS:
        raise ConfigError(f'unknown backend {backend!r}; known: {", ".join(BACKENDS)}')
    manifest = artifact.manifest
    facts = PolicyFacts.from_json(manifest.facts)
    model = MODELS[manifest.model].network.skeleton(manifest.architecture, facts, artifact.files)
    state = dict(artifact.kept)
    if backend == PACKED:
        insert_packed(model, artifact.layers)
        fuse(model)
    else:
        state |= dict(dense_weights(artifact))
    try:
        model.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        raise ArtifactError(f'the weights do not fit the architecture: {error}') from error
    model.requires_grad_(requires_grad=False)
    return model.eval()


def dense_weights(artifact: Artifact) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the packed weights of an artifact one by one, by parameter, restored to float32."""
    for name, packed in artifact.layers.items():
        yield f'{name}.weight', unpack(packed).dequantize()


def compact(tensor: torch.Tensor) -> torch.Tensor:
    """Return the tensor in bfloat16 if that loses nothing, else in float32."""
    if not tensor.is_floating_point():
        return tensor
    half = tensor.to(torch.bfloat16)
    wide = tensor.to(torch.float32)
    return half if torch.equal(half.to(torch.float32), wide) else wide


def kernels_of(model: VlaModel) -> str:
    """
    Name the kernels that a forward pass of many tokens runs on, the most frequent first.

    :param model: on its device and in its dtype
    :return: ``amx_bf16``, ``amx_int8 (200), amx_bf16 (24)``, or nothing for a dense model
    """
    dtype = next(p.dtype for p in model.parameters() if p.is_floating_point())
    layers = [module.packed for module in model.modules() if isinstance(module, BinaryLinear)]
    chosen = Counter(
        choose(packed, packed.row_scale.new_zeros(1, 1, dtype=dtype).expand(_TOKENS, width))
        for packed in layers
        for width in (packed.layout.in_features,)
    )
    if len(chosen) == 1:
        return next(iter(chosen))
    return ', '.join(f'{name} ({count})' for name, count in chosen.most_common())


def weights_of(model: VlaModel) -> dict[str, torch.Tensor]:
    """
    Return the weights that compute, by name.

    :param model: packed or dense; the modulation of FiLM is left out, its weights may leave memory
    """
    held: dict[str, torch.Tensor] = {}
    for name, module in model.named_modules():
        if isinstance(module, BinaryLinear):
            packed = module.packed
            arrays = (packed.bits, packed.levels, packed.row_scale)
            names = (f'{name}.{part}' for part in ('bits', 'levels', 'row_scale'))
            held |= dict(zip(names, arrays, strict=True))
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if not tensor.is_meta and not _MODULATION.search(name):
            held[name] = tensor
    return held
