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

"""The patch that a token stands for is where the model says."""

from dataclasses import replace

from builders import robot
from hbvla_ros.core.scene import synthetic_observations
from hbvla_ros.models.openvla_oft.checkpoint import load_checkpoint
from hbvla_ros.quantize.streams import first_output
import numpy as np
import pytest
import torch

CAMERAS = ('cam_high', 'cam_left_wrist', 'cam_right_wrist')


@pytest.fixture(scope='module')
def model(tiny_run):
    """Return a network whose vision blocks don't mix tokens, so that each shows its own patch."""
    model = load_checkpoint(tiny_run / 'checkpoint', preset='aloha', dtype=torch.float32)
    for name, parameter in model.vision_backbone.named_parameters():
        if '.attn.proj.' in name:
            parameter.data.zero_()
    return model


def _output(model, block, seen):
    """Return what a block passes on."""
    found = []
    module = model.get_submodule(block)
    handle = module.register_forward_hook(lambda _m, _a, out: found.append(first_output(out)))
    with torch.no_grad():
        model(model.prepare(seen))
    handle.remove()
    return found[0]


def _painted(seen, camera, row, column):
    """Return the observation with one quarter of one picture in another colour."""
    image = seen.images[camera].copy()
    height, width = (side // 2 for side in image.shape[:2])
    rows, columns = (slice(n * s, (n + 1) * s) for n, s in ((row, height), (column, width)))
    image[rows, columns] = 255 - image[rows, columns]
    return replace(seen, images={**seen.images, camera: image})


@pytest.mark.parametrize(
    'block',
    [
        'vision_backbone.featurizer.blocks.1',
        'vision_backbone.fused_featurizer.blocks.0',
        'projector',
    ],
)
@pytest.mark.parametrize(('row', 'column'), [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize('camera', [0, 2])
def test_a_painted_patch_changes_its_own_token_most(model, block, row, column, camera):
    seen = synthetic_observations(robot(), 1, seed=5)[0]
    other = _painted(seen, CAMERAS[camera], row, column)
    change = (_output(model, block, seen) - _output(model, block, other)).norm(dim=-1)
    scores = model.patch_scores(block, change)
    assert set(scores) == {0, 1, 2}
    table = np.stack([scores[n].numpy() for n in range(3)])
    assert table.shape == (3, 2, 2)
    assert np.unravel_index(table.argmax(), table.shape) == (camera, row, column)


def test_the_language_model_sees_patches_after_the_first_token(model):
    block = 'language_model.model.layers.0'
    seen = synthetic_observations(robot(), 1, seed=5)[0]
    tokens = _output(model, block, seen).shape[1]
    scores = model.patch_scores(block, torch.arange(float(tokens))[None])
    assert scores[0].flatten().tolist() == [1, 2, 3, 4]
    assert scores[2].flatten().tolist() == [9, 10, 11, 12]


def test_tokens_before_the_patches_of_a_vision_block_are_left_out(model):
    # DINOv2: one class token and four registers, then four patches, per picture
    scores = model.patch_scores(
        'vision_backbone.featurizer.blocks.1', torch.arange(27.0).reshape(3, 9)
    )
    assert scores[1].tolist() == [[14, 15], [16, 17]]


def test_the_action_head_has_no_patches(model):
    assert model.patch_scores('action_head', torch.ones(1, 25)) is None


def test_the_network_sees_nine_tenths_of_the_area(model):
    assert model.picture_crop**2 == pytest.approx(0.9)
