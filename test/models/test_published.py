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

"""The description of a checkpoint: names and sizes of the published one, and what is refused."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from hbvla_ros.core.errors import CheckpointError
from hbvla_ros.models.openvla_oft.config import OftConfig, PRESETS
from hbvla_ros.models.openvla_oft.model import OpenVlaOft
from hbvla_ros.models.openvla_oft.published import read_config, unused_tensors
from hbvla_ros.models.tiny_tokenizer import train_tokenizer
import pytest

# Of the index of the published LIBERO-10 checkpoint: sha256 of its sorted names.
PUBLISHED_NAMES = 'b36cc1bb3a35672479070cc59117aec73268e50e1152844d66b75e94bc316f87'
PUBLISHED_CONFIG = {
    'model_type': 'openvla',
    'arch_specifier': 'no-align+fused-gelu-mlp',
    'image_resize_strategy': 'resize-naive',
    'image_sizes': [224, 224],
    'text_config': {'model_type': 'llama', 'pad_token_id': 32000, 'vocab_size': 32064},
}
PUBLISHED_PREPROCESSOR = {
    'input_sizes': [[3, 384, 384]] * 2,  # not the picture size: that is in config.json alone
    'tvf_normalize_params': [
        {
            'mean': [0.484375, 0.455078125, 0.40625],
            'std': [0.228515625, 0.2236328125, 0.224609375],
        },
        {'mean': [0.5] * 3, 'std': [0.5] * 3},
    ],
}
STATISTICS = {
    'action': {'q01': [-1.0] * 7, 'q99': [1.0] * 7},
    'proprio': {'q01': [-1.0] * 8, 'q99': [1.0] * 8},
}


def count(shapes: dict[str, tuple[int, ...]], prefix: str = '') -> int:
    return sum(math.prod(shape) for name, shape in shapes.items() if name.startswith(prefix))


@pytest.fixture(scope='module')
def published() -> tuple[OftConfig, dict[str, tuple[int, ...]]]:
    """Return the full-size description and the shapes of its network, without memory for it."""
    config = read_config(PUBLISHED_CONFIG, PUBLISHED_PREPROCESSOR, 0)
    facts = PRESETS['libero'].facts(8, 'libero_10_no_noops', STATISTICS)
    tokenizer = {'tokenizer.json': train_tokenizer(512)}
    model = OpenVlaOft.skeleton(config.to_json(), facts, tokenizer)
    return config, {name: tuple(t.shape) for name, t in model.state_dict().items()}


def test_names_are_those_of_the_published_index(
    published: tuple[OftConfig, dict[str, tuple[int, ...]]],
) -> None:
    config, used = published
    small = ('action_head.', 'proprio_projector.')
    big = {name: shape for name, shape in used.items() if not name.startswith(small)}
    everything = big | unused_tensors(config)
    assert len(everything) == len(big) + len(unused_tensors(config)) == 982
    assert hashlib.sha256('\n'.join(sorted(everything)).encode()).hexdigest() == PUBLISHED_NAMES
    assert count(everything) == 7_541_237_184
    assert count(big) == 7_366_822_560


def test_sizes_of_the_parts_are_the_published_ones(
    published: tuple[OftConfig, dict[str, tuple[int, ...]]],
) -> None:
    config, used = published
    assert config.image_size == 224
    assert config.language.rms_norm_eps == 1e-6  # not Meta's 1e-5
    assert count(used, 'vision_backbone.featurizer.') == 290_630_656
    assert count(used, 'vision_backbone.fused_featurizer.') == 397_200_544
    assert count(used, 'projector.') == 71_385_600
    assert count(used, 'action_head.') == 151_117_831
    assert count(used, 'proprio_projector.') == 16_818_176
    unused = unused_tensors(config)
    assert count(unused, 'vision_backbone.fused_featurizer.attn_pool.') == 15_238_352


@pytest.mark.parametrize(
    ('name', 'chunk', 'dims', 'images', 'normalization', 'rate_hz'),
    [
        ('libero', 8, (7, 8), 2, 'bounds_q99', 20),
        ('aloha', 25, (14, 14), 3, 'bounds', 25),
        ('bridge', 5, (7, 7), 1, 'bounds_q99', 5),
    ],
)
def test_presets_are_those_of_the_reference(
    name: str, chunk: int, dims: tuple[int, int], images: int, normalization: str, rate_hz: float
) -> None:
    preset = PRESETS[name]
    assert (preset.chunk_size, preset.num_images) == (chunk, images)
    assert (preset.action_dim, preset.proprio_dim) == dims
    assert preset.normalization == normalization
    assert preset.period_s * rate_hz == pytest.approx(1)


@pytest.fixture
def described(tiny_folder: Path) -> dict[str, Any]:
    """Return the ``config.json`` of the tiny checkpoint, free to be spoilt."""
    data: dict[str, Any] = json.loads((tiny_folder / 'config.json').read_text())
    return data


def refuse(described: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_config(described, PUBLISHED_PREPROCESSOR, 0)


@pytest.mark.parametrize(
    ('section', 'name', 'value', 'message'),
    [
        ('', 'model_type', 'llava', "model_type is 'llava'; only 'openvla' is supported"),
        ('', 'image_resize_strategy', 'letterbox', "only 'resize-naive' is supported"),
        ('', 'text_config', 7, 'text_config must be a table, got 7'),
        ('text_config', 'rope_theta', 5e5, 'rope_theta is 500000.0; only 10000.0 is supported'),
        ('text_config', 'vocab_size', 0, 'vocab_size must be a whole number >= 1, got 0'),
        ('text_config', 'rms_norm_eps', 0.0, 'rms_norm_eps must be positive'),
        ('hbvla_arch', 'image_size', '28', "image_size must be a whole number >= 1, got '28'"),
        ('hbvla_arch', 'dino', [], 'dino must be a table'),
        ('hbvla_arch', 'siglip', {'dim': 48}, 'hbvla_arch/siglip: .*missing'),
        ('hbvla_arch', 'colour', 3, 'hbvla_arch must hold'),
    ],
)
def test_a_description_of_another_network_is_refused(
    described: dict[str, Any], section: str, name: str, value: object, message: str
) -> None:
    (described[section] if section else described)[name] = value
    refuse(described, message)


@pytest.mark.parametrize('sizes', [None, [], [224, 384], '224'])
def test_a_plain_description_needs_one_picture_size(
    described: dict[str, Any], sizes: object
) -> None:
    del described['hbvla_arch']
    described['image_sizes'] = sizes
    refuse(described, r'image_sizes must be like \[224, 224\]')


@pytest.mark.parametrize('params', [None, [], [{'mean': [0.5]}], [{'mean': 1, 'std': 2}]])
def test_picture_constants_must_be_there(described: dict[str, Any], params: object) -> None:
    with pytest.raises(CheckpointError, match=r'tvf_normalize_params must list|six values'):
        read_config(described, {'tvf_normalize_params': params}, 0)
