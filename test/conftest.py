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

"""Shared fixtures; puts this folder on the path so that tests import ``builders``."""

import os
from pathlib import Path
import sys

from hypothesis import settings
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
# Small matrices on two cores: threads cost more than they give, and two test runs stay apart.
torch.set_num_threads(1)
# No deadline: a busy machine is no failure. In CI the examples are the same every time; elsewhere
# each run draws new ones.
settings.register_profile('local', deadline=None)
settings.register_profile('ci', parent=settings.get_profile('local'), derandomize=True)
settings.load_profile('ci' if os.environ.get('CI') else 'local')


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine can't run, each with its reason."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker('gpu'):
            item.add_marker(pytest.mark.skip(reason='no CUDA device'))


@pytest.fixture(scope='session')
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a tiny ALOHA ``checkpoint`` and its ``artifact``; only read it."""
    from builders import ROBOTS, tiny_job
    from hbvla_ros.models.tiny import write_tiny_checkpoint
    from hbvla_ros.quantize.pipeline import run_job

    folder = tmp_path_factory.mktemp('tiny')
    write_tiny_checkpoint(folder / 'checkpoint')
    for _ in run_job(tiny_job(folder), ROBOTS):
        pass
    return folder


@pytest.fixture(scope='session')
def tiny_artifact(tiny_run: Path) -> Path:
    """Return a tiny packed artifact; tests only read it."""
    return tiny_run / 'artifact'
