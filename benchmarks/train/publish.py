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

"""Write a trained policy in the layout of the published OpenVLA-OFT checkpoints."""

from collections.abc import Mapping
import json
from pathlib import Path
from typing import Any

from benchmarks.train.network import config_json, DTYPE, PREPROCESSOR, UNNORM_KEY
from benchmarks.train.recipe import Recipe
from hbvla_ros.models.openvla_oft.model import OpenVlaOft
from safetensors.torch import save_file
import torch

SHARD = 'model-00001-of-00001.safetensors'
COMPONENTS = ('action_head', 'proprio_projector')


def publish(
    policy: OpenVlaOft, recipe: Recipe, statistics: Mapping[str, Any], folder: Path
) -> None:
    """
    Write weights (bfloat16), tokenizer, statistics and configuration.

    :param policy: with its weights
    :param recipe: how it was trained
    :param statistics: of the data set
    :param folder: is created; files of these names are replaced
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in policy.assets().items():
        (folder / name).write_bytes(content)
    _write(folder / 'config.json', config_json(recipe))
    _write(folder / 'preprocessor_config.json', PREPROCESSOR)
    _write(folder / 'dataset_statistics.json', {UNNORM_KEY: statistics})
    tensors = {n: t.detach().to(DTYPE).contiguous() for n, t in policy.state_dict().items()}
    for component in COMPONENTS:
        names = sorted(name for name in tensors if name.startswith(f'{component}.'))
        state = {f'module.{n.removeprefix(component + ".")}': tensors.pop(n) for n in names}
        for older in folder.glob(f'{component}--*_checkpoint.pt'):
            older.unlink()
        torch.save(state, folder / f'{component}--{recipe.steps}_checkpoint.pt')
    save_file(tensors, folder / SHARD, {'format': 'pt'})
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    index = {
        'metadata': {'total_size': total},
        'weight_map': dict.fromkeys(sorted(tensors), SHARD),
    }
    _write(folder / 'model.safetensors.index.json', index)


def _write(path: Path, data: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=1) + '\n', encoding='utf-8')
