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

"""Checkpoints of real widths, two blocks per network, random weights, in the published files."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
import zlib

from hbvla_ros.models.cogact.config import (
    CogactConfig,
    DitConfig,
    PIXEL_MEAN,
    PIXEL_STD,
    RMS_NORM_EPS,
)
from hbvla_ros.models.cogact.config import (
    find_preset as find_cogact,
)
from hbvla_ros.models.cogact.model import Cogact
from hbvla_ros.models.openvla_oft.config import find_preset
from hbvla_ros.models.openvla_oft.model import OpenVlaOft
from hbvla_ros.models.openvla_oft.published import read_arch, read_config, unused_tensors
from hbvla_ros.models.prismatic.config import LanguageConfig
from hbvla_ros.models.prismatic.prompt import TOKENIZER
from hbvla_ros.models.tiny import DELTAS, PREPROCESSOR, range_statistics, write_json
from hbvla_ros.models.tiny_cogact import published_tables
from hbvla_ros.models.tiny_tokenizer import train_tokenizer
from safetensors.torch import save_file
import torch

DEPTH = 3  # of a vision network in the files; the last block is unused
LAYERS = 2
ARCH = {
    'image_size': 224,
    'patch_size': 14,
    'dino': {'dim': 1024, 'depth': DEPTH, 'heads': 16, 'mlp': 4096, 'registers': 4},
    'siglip': {'dim': 1152, 'depth': DEPTH, 'heads': 16, 'mlp': 4304},
}
_SHARD_BYTES = 400 << 20
_POSE = ((-0.4, 0.2), (-0.3, 0.3), (0.5, 1.3), (1.0, 3.6), (-3.5, 3.5), (-1.5, 1.4))
LIBERO_STATE = (*_POSE, (0.0, 0.04), (-0.04, 0.0))  # ranges: pose, two fingers
Shapes = Mapping[str, tuple[int, ...]]


def write_oft(folder: Path) -> None:
    """Write an OpenVLA-OFT checkpoint for LIBERO."""
    preset = find_preset('libero')
    described = {
        'model_type': 'openvla',
        'arch_specifier': 'no-align+fused-gelu-mlp',
        'image_resize_strategy': 'resize-naive',
        'image_sizes': [224, 224],
        'text_config': {'model_type': 'llama', 'num_hidden_layers': LAYERS, 'vocab_size': 32064},
        'hbvla_arch': ARCH,
        'hbvla_preset': {'name': 'libero', 'chunk_size': 8},
    }
    statistics = {
        'action': {**range_statistics(DELTAS), 'mask': [True] * 6 + [False]},
        'proprio': range_statistics(LIBERO_STATE),
    }
    config = read_config(described, PREPROCESSOR, 0)
    tokenizer = train_tokenizer(512)
    facts = preset.facts(8, 'libero_10_no_noops', statistics)
    model = OpenVlaOft.skeleton(config.to_json(), facts, {TOKENIZER: tokenizer})
    folder.mkdir(parents=True)
    (folder / TOKENIZER).write_bytes(tokenizer)
    write_json(folder / 'config.json', described)
    write_json(folder / 'preprocessor_config.json', PREPROCESSOR)
    write_json(folder / 'dataset_statistics.json', {'libero_10_no_noops': statistics})
    shapes = _shapes(model) | unused_tensors(config)
    for component, kind in (('action_head', torch.bfloat16), ('proprio_projector', torch.float32)):
        own = [name for name in shapes if name.startswith(f'{component}.')]
        state = {
            f'module.{name.removeprefix(component + ".")}': _draw(name, shapes.pop(name), kind)
            for name in own
        }
        torch.save(state, folder / f'{component}--1_checkpoint.pt')
    _write_shards(folder, shapes)


def write_cogact(folder: Path) -> None:
    """Write a CogACT checkpoint with the action transformer DiT-B, two blocks of it, float32."""
    preset = find_cogact('bridge')
    action = {**range_statistics(DELTAS), 'mask': [True] * 6 + [False]}
    dit = DitConfig(dim=768, depth=LAYERS, heads=12)
    config = CogactConfig(
        **read_arch(ARCH, 'ARCH'),
        language=LanguageConfig(num_hidden_layers=LAYERS, rms_norm_eps=RMS_NORM_EPS),
        pixel_mean=PIXEL_MEAN,
        pixel_std=PIXEL_STD,
        dit=dit,
    )
    tokenizer = train_tokenizer(512)
    facts = preset.facts(16, 7, preset.unnorm_key, {'action': action})
    model = Cogact.skeleton(config.to_json(), facts, {TOKENIZER: tokenizer})
    (folder / 'checkpoints').mkdir(parents=True)
    (folder / TOKENIZER).write_bytes(tokenizer)
    arch = {**ARCH, 'language': {'num_hidden_layers': LAYERS}, 'heads': dit.heads}
    vla = {'base_vlm': 'prism-dinosiglip-224px+7b'}
    write_json(folder / 'config.json', {'vla': vla, 'hbvla_arch': arch})
    write_json(folder / 'dataset_statistics.json', {preset.unnorm_key: {'action': action}})
    shapes = _shapes(model) | unused_tensors(config)
    tensors = {name: _draw(name, shape, torch.float32) for name, shape in shapes.items()}
    torch.save({'model': published_tables(tensors)}, folder / 'checkpoints' / 'step-1.pt')


def _shapes(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def _draw(name: str, shape: tuple[int, ...], kind: torch.dtype) -> torch.Tensor:
    """Draw a tensor whose layer neither shrinks nor grows what passes it."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    values = torch.randn(shape, generator=generator, dtype=torch.float32)
    if name.endswith('.bias'):
        return values.mul_(0.02).to(kind)
    if len(shape) == 1:
        return values.mul_(0.1).add_(1).to(kind)
    fan_in = values[0].numel() if len(shape) in (2, 4) else 25
    return values.div_(fan_in**0.5).to(kind)


def _write_shards(folder: Path, shapes: Shapes) -> None:
    groups = list(_groups(shapes))
    places: dict[str, str] = {}
    for number, names in enumerate(groups, 1):
        file = f'model-{number:05d}-of-{len(groups):05d}.safetensors'
        shard = {name: _draw(name, shapes[name], torch.bfloat16) for name in names}
        save_file(shard, folder / file, {'format': 'pt'})
        places |= dict.fromkeys(names, file)
    index: dict[str, Any] = {'metadata': {}, 'weight_map': places}
    write_json(folder / 'model.safetensors.index.json', index)


def _groups(shapes: Shapes) -> Iterator[list[str]]:
    group: list[str] = []
    size = 0
    for name, shape in sorted(shapes.items()):
        group.append(name)
        size += 2 * int(torch.Size(shape).numel())
        if size > _SHARD_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group
