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
A packed OpenVLA-OFT of the published size with random weights, streamed to disk.

Signs and levels are drawn on the level grid, so no float weight ever exists, and a few megabytes
at a time, so no more than that is in memory. The same seed gives the same bytes. The file is what
``save_artifact`` would write.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
import hashlib
from pathlib import Path
from typing import Any
import zlib

from benchmarks.full_width_files import LIBERO_STATE
from hbvla_ros import __version__
from hbvla_ros.artifact.manifest import LayerEntry, Manifest
from hbvla_ros.artifact.size import file_header, file_order, tensor_bytes
from hbvla_ros.artifact.store import MANIFEST, WEIGHTS
from hbvla_ros.binarize.layout import ColumnLayout
from hbvla_ros.kernels.packing import array_shapes, packed_bytes, permutation_bytes
from hbvla_ros.models.openvla_oft.config import find_preset, OftConfig
from hbvla_ros.models.openvla_oft.model import OpenVlaOft
from hbvla_ros.models.openvla_oft.published import read_config
from hbvla_ros.models.prismatic.prompt import TOKENIZER
from hbvla_ros.models.surgery import find_linear
from hbvla_ros.models.tiny import DELTAS, PREPROCESSOR, range_statistics
from hbvla_ros.models.tiny_tokenizer import train_tokenizer
import numpy as np
from numpy.typing import NDArray
import torch

_PIECE = 1 << 22  # values drawn at a time
_SALIENT = 128  # salient columns of every family that is wide enough
_LOW, _HIGH = 40, 128  # magnitudes of levels
_MEAN_SQUARE = 7632.5  # of a level of such a magnitude

Values = NDArray[Any]


@dataclass(frozen=True)
class Stored:
    """A tensor to be: safetensors type, shape, and how its values are drawn, piece by piece."""

    dtype: str
    shape: tuple[int, ...]
    draw: Callable[[np.random.Generator, int], Values]

    def described(self) -> dict[str, Any]:
        """Return the entry of the manifest, without the hash."""
        return {'dtype': self.dtype, 'shape': list(self.shape)}

    def pieces(self, name: str, seed: int) -> Iterator[Values]:
        """Draw the values, some megabytes at a time; the same for equal name and seed."""
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        count = int(np.prod(self.shape))
        step = count if self.dtype == 'U16' else _PIECE  # a permutation is drawn whole
        for start in range(0, count, step):
            yield self.draw(rng, min(step, count - start))


def full_config(layers: int = 32) -> OftConfig:
    """
    Return the published widths and depths.

    :param layers: of the language model; the published one has 32
    """
    described = {
        'model_type': 'openvla',
        'arch_specifier': 'no-align+fused-gelu-mlp',
        'image_resize_strategy': 'resize-naive',
        'image_sizes': [224, 224],
        'text_config': {'model_type': 'llama', 'num_hidden_layers': layers, 'vocab_size': 32064},
    }
    return read_config(described, PREPROCESSOR, 0, aspect=1.0)


def skeleton(config: OftConfig) -> OpenVlaOft:
    """Return the model for LIBERO, without weights."""
    statistics = {
        'action': {**range_statistics(DELTAS), 'mask': [True] * 6 + [False]},
        'proprio': range_statistics(LIBERO_STATE),
    }
    facts = find_preset('libero').facts(8, 'libero_10_no_noops', statistics)
    tokenizer = train_tokenizer(512)
    return OpenVlaOft.skeleton(config.to_json(), facts, {TOKENIZER: tokenizer})


def write_artifact(folder: Path, config: OftConfig, seed: int = 0) -> Manifest:
    """
    Write the artifact.

    :param folder: to create
    :param config: widths and depths
    :param seed: of all values
    :return: the manifest as written
    """
    model = skeleton(config)
    entries, stored = _layers(model)
    replaced = {f'{name}.weight' for name in entries}
    kept = {
        name: _kept(name, tuple(tensor.shape))
        for name, tensor in model.state_dict().items()
        if name not in replaced
    }
    manifest = Manifest(
        package_version=__version__,
        model=OftConfig.KIND,
        architecture=model.architecture(),
        facts=model.facts.to_json(),
        source={},
        job={'method': 'random', 'seed': seed},
        calibration={'kind': 'none', 'robot': 'libero_panda', 'samples': 0},
        totals=_totals(entries, kept),
        layers=entries,
        skipped=model.kept(),
    )
    folder.mkdir(parents=True)
    return _write(folder, manifest, stored | kept, model.assets(), seed)


def _write(
    folder: Path,
    manifest: Manifest,
    tensors: Mapping[str, Stored],
    files: Mapping[str, bytes],
    seed: int,
) -> Manifest:
    described = {name: tensor.described() for name, tensor in tensors.items()}
    header = file_header(described)
    with (folder / WEIGHTS).open('wb') as file:
        file.write(header)
        for name in file_order(described):
            digest = hashlib.sha256()
            for piece in tensors[name].pieces(name, seed):
                digest.update(piece.data)
                file.write(piece.data)
            described[name]['sha256'] = digest.hexdigest()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    whole = replace(
        manifest,
        tensors=described,
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        header_sha256=hashlib.sha256(header).hexdigest(),
    )
    (folder / MANIFEST).write_text(whole.to_json(), encoding='utf-8')
    return whole


def _layers(model: OpenVlaOft) -> tuple[dict[str, LayerEntry], dict[str, Stored]]:
    """Describe every quantized linear: its manifest entry and its tensors."""
    entries: dict[str, LayerEntry] = {}
    stored: dict[str, Stored] = {}
    for block in model.blocks():
        for family in block.families:
            linears = {name: find_linear(model, name) for name in family}
            together = sum(linear.out_features for linear in linears.values())
            for name, linear in linears.items():
                layout = _layout(linear.in_features)
                entries[name] = _entry(
                    linear.out_features, layout, block.component, family[0], together
                )
                stored |= _packed(name, linear.out_features, layout)
            stored[f'{family[0]}.permutation'] = Stored(
                'U16', (linear.in_features,), lambda rng, n: rng.permutation(n).astype('<u2')
            )
    return entries, stored


def _layout(columns: int) -> ColumnLayout:
    salient = _SALIENT if columns > 2 * _SALIENT else 0
    return ColumnLayout(columns, salient, 'haar', 'haar', torch.arange(columns))


def _entry(
    out: int, layout: ColumnLayout, component: str, family: str, together: int
) -> LayerEntry:
    bytes_ = packed_bytes(out, layout) + permutation_bytes(layout) * out / together
    return LayerEntry(
        shape=(out, layout.in_features),
        component=component,
        family=family,
        num_salient=layout.num_salient,
        transform=layout.transform,
        salient_transform=layout.salient_transform,
        has_permutation=True,
        bits_sign=1 + layout.num_salient / layout.in_features,
        bits_stored=8 * bytes_ / (out * layout.in_features),
        output_error=0.0,
        policy_error=0.0,
        seconds=0.0,
    )


def _packed(name: str, out: int, layout: ColumnLayout) -> dict[str, Stored]:
    shapes = array_shapes(out, layout)
    scale = (_MEAN_SQUARE * layout.virtual_width) ** -0.5  # the product keeps its size

    def signs(rng: np.random.Generator, count: int) -> Values:
        return rng.integers(0, 2**64, count, dtype='<u8')

    def levels(rng: np.random.Generator, count: int) -> Values:
        size = rng.integers(_LOW, _HIGH, count, dtype=np.int8).reshape(-1, 2, 16)
        size[:, 0] *= -1
        return size.reshape(-1)

    def row_scale(rng: np.random.Generator, count: int) -> Values:
        return (scale * rng.uniform(0.8, 1.2, count)).astype('<f4')

    made = {'bits': ('U64', signs), 'levels': ('I8', levels), 'row_scale': ('F32', row_scale)}
    return {
        f'{name}.{part}': Stored(dtype, shapes[part], draw) for part, (dtype, draw) in made.items()
    }


def _kept(name: str, shape: tuple[int, ...]) -> Stored:
    """Draw what stays as it is: bfloat16, of a size that neither shrinks nor grows what passes."""
    middle, spread = 0.0, float(np.prod(shape[1:])) ** -0.5
    if name.endswith('.bias'):
        spread = 0.02
    elif len(shape) == 1:
        middle, spread = 1.0, 0.1

    def draw(rng: np.random.Generator, count: int) -> Values:
        values = middle + spread * rng.standard_normal(count, dtype=np.float32)
        half = torch.from_numpy(values.astype(np.float32)).to(torch.bfloat16)
        return half.view(torch.int16).numpy()

    return Stored('BF16', shape, draw)


def _totals(entries: Mapping[str, LayerEntry], kept: Mapping[str, Stored]) -> dict[str, Any]:
    weights = sum(e.shape[0] * e.shape[1] for e in entries.values())
    stored = sum(e.bits_stored * e.shape[0] * e.shape[1] / 8 for e in entries.values())
    return {
        'quantized_weights': weights,
        'kept_parameters': sum(int(np.prod(tensor.shape)) for tensor in kept.values()),
        'bits_sign': sum(e.bits_sign * e.shape[0] * e.shape[1] for e in entries.values())
        / weights,
        'bits_stored': 8 * stored / weights,
        'packed_bytes': round(stored),
        'kept_bytes': sum(tensor_bytes(tensor.described()) for tensor in kept.values()),
    }
