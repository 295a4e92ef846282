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

"""A tiny checkpoint in the published layout, written once, and observations that fit it."""

from collections.abc import Callable, Mapping
from pathlib import Path
import shutil
from typing import Any

from hbvla_ros.core.observation import Observation
from hbvla_ros.models.openvla_oft.checkpoint import load_checkpoint
from hbvla_ros.models.openvla_oft.model import OpenVlaOft
from hbvla_ros.models.tiny import write_tiny_checkpoint
import numpy as np
import pytest
import torch


@pytest.fixture(scope='session')
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tiny ALOHA checkpoint; tests only read it."""
    return write_tiny_checkpoint(tmp_path_factory.mktemp('tiny') / 'aloha')


@pytest.fixture
def own_folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """Return a copy of the tiny checkpoint that the test may damage."""
    return shutil.copytree(tiny_folder, tmp_path / 'checkpoint')


@pytest.fixture
def tiny_oft(tiny_folder: Path) -> OpenVlaOft:
    """Return the tiny ALOHA policy in float32, fresh for each test."""
    return load_checkpoint(tiny_folder, preset='aloha', dtype=torch.float32)


@pytest.fixture(scope='session')
def observe() -> Callable[..., Observation]:
    """Return a function that makes observations for a policy, different for each seed."""
    return _observe


def _observe(model: OpenVlaOft, seed: int = 0, **changes: Any) -> Observation:
    draw = np.random.default_rng(seed)
    scaling = model.facts.scaling('proprio')
    images: Mapping[str, Any] = {
        f'camera_{i}': _picture(draw) for i in range(model.facts.num_images)
    }
    state = scaling.low + draw.uniform(size=scaling.low.size) * (scaling.high - scaling.low)
    values = {'images': images, 'state': state.astype(np.float32), 'stamp_ns': 0}
    return Observation(**{'instruction': 'pick up the red cube', **values, **changes})


def _picture(draw: np.random.Generator) -> np.ndarray[Any, Any]:
    """Draw a disc on a plain ground, 48 x 64 pixels."""
    rows, columns = np.mgrid[:48, :64]
    centre = draw.uniform((0, 0), (48, 64))
    disc = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < draw.uniform(6, 16) ** 2
    picture = np.empty((48, 64, 3), np.uint8)
    picture[:] = draw.integers(60, 190, 3)
    picture[disc] = draw.integers(0, 256, 3)
    return picture
