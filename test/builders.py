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

"""Small inputs that several tests share; import as ``from builders import ...``."""

from pathlib import Path

from hbvla_ros.binarize.method import FamilyStats
from hbvla_ros.core.robot import find_robot, RobotSpec
from hbvla_ros.quantize.job import QuantizeJob
import torch

REPOSITORY = Path(__file__).resolve().parents[1]
ROBOTS = REPOSITORY / 'config' / 'robots'


def robot(name: str = 'mobile_aloha') -> RobotSpec:
    """Return a shipped robot file."""
    return find_robot(name, ROBOTS)


def tiny_layer(
    out: int = 24, n: int = 200, tokens: int = 600, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a weight ``[out, n]`` with outlier columns and correlated inputs ``[tokens, n]``."""
    g = torch.Generator().manual_seed(seed)
    weight = torch.randn(out, n, generator=g) * 0.02
    weight[:, :3] *= 4
    mixing = torch.eye(n) + 0.4 * torch.randn(n, n, generator=g) / n**0.5
    scales = torch.exp(0.6 * torch.randn(n, generator=g))
    return weight, torch.randn(tokens, n, generator=g) @ mixing * scales


def stats_of(x: torch.Tensor, importance: torch.Tensor | None = None) -> FamilyStats:
    """Return both Hessians of inputs ``[tokens, n]``."""
    weight = torch.ones(len(x)) if importance is None else importance
    return FamilyStats(2 / len(x) * x.T @ x, 2 / len(x) * x.T @ (x * weight[:, None]))


def tiny_job(folder: Path, **changes: object) -> QuantizeJob:
    """Return a small job on the checkpoint in ``folder/checkpoint``."""
    settings = {
        'checkpoint': str(folder / 'checkpoint'),
        'output': str(folder / 'artifact'),
        'num_samples': 4,
        'probe_draws': 1,
        **changes,
    }
    return QuantizeJob(**settings)
