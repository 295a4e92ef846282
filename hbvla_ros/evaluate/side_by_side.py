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
Run two policies over the same observations, one after the other, and compare their answers.

The first is an artifact; the second another artifact or the full-precision checkpoint that it was
made from. Only one of them is in memory at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from hbvla_ros.artifact.manifest import Manifest
from hbvla_ros.artifact.store import MANIFEST, read_manifest
from hbvla_ros.core.episodes.episode import ReadConfig
from hbvla_ros.core.errors import ConfigError
from hbvla_ros.core.robot import find_robot, RobotSpec
from hbvla_ros.evaluate.compare import Chunks, compare, executed
from hbvla_ros.models.base import MODELS, PolicyFacts, VlaModel
from hbvla_ros.models.packed import load_packed
from hbvla_ros.quantize.preparation import source_hashes, working_dtype
from hbvla_ros.quantize.samples import load_calibration, Sample, samples_hash, SYNTHETIC
import numpy as np
import torch


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """
    What to compare, and on what.

    ``robot`` is the one of the first artifact's calibration if it is empty, ``model`` and
    ``preset`` those of the first artifact; they matter where ``second`` is a checkpoint.
    ``source`` is what ``hbvla_quantize --calibration`` takes; ``instruction`` and ``bgr`` are as
    there.
    """

    first: Path
    second: Path
    source: str = SYNTHETIC
    robot: str = ''
    count: int = 16
    seed: int = 1  # other scenes than those of a calibration with its defaults
    model: str = ''
    preset: str = ''
    instruction: str = ''
    bgr: bool = False

    def __post_init__(self) -> None:
        if not self.count >= 1:
            raise ConfigError(f'at least one observation is needed, got {self.count}')


def run_comparison(config: CompareConfig, robots: Path) -> dict[str, Any]:
    """
    Compare two policies.

    :param config: which, and on what
    :param robots: folder of the robot files that we ship
    :return: plain JSON values, those of :func:`hbvla_ros.evaluate.compare.compare` among them
    :raises HbvlaError: if one can't be read, or they are not policies for the same robot
    """
    manifest = read_manifest(config.first)
    facts = PolicyFacts.from_json(manifest.facts)
    robot = find_robot(config.robot or manifest.calibration['robot'], robots)
    _check_robot(facts, robot)
    reading = ReadConfig(instruction=config.instruction, bgr=config.bgr)
    samples = load_calibration(config.source, robot, config.count, config.seed, None, reading)
    other = _open_second(config, manifest)
    _check_alike(facts, other.model.facts)
    theirs, said, dtype = predict(other.model, samples), other.said, other.dtype
    del other  # two networks may be more than the memory
    answers = predict(load_packed(config.first).model.to(dtype), samples), theirs
    follow = config.source != SYNTHETIC
    return {
        'first': _described(config.first, manifest),
        'second': said,
        'dtype': str(dtype).removeprefix('torch.'),
        'robot': robot.name,
        'source': config.source,
        'samples_sha256': samples_hash(samples),
        **compare(
            *answers,
            facts.scaling('action'),
            robot.actions,
            _stretches(answers, samples, facts.period_s) if follow else [],
        ),
    }


@torch.inference_mode()
def predict(model: VlaModel, samples: Sequence[Sample]) -> Chunks:
    """Return the normalised answers to the observations, ``float64 [N, chunk_size, A]``."""
    answers = [model(model.prepare(sample.observation))[0] for sample in samples]
    return np.stack([answer.double().cpu().numpy() for answer in answers])


class _Second(NamedTuple):
    """The second policy, how it is described, and in which type both compute."""

    model: VlaModel
    said: dict[str, Any]
    dtype: torch.dtype


def _open_second(config: CompareConfig, first: Manifest) -> _Second:
    path = config.second
    if (path / MANIFEST).exists():
        model = load_packed(path).model.to(torch.float32)
        return _Second(model, _described(path, read_manifest(path)), torch.float32)
    kind, preset = MODELS[config.model or first.model], config.preset or first.facts['preset']
    files = kind.source_files(path)
    dtype = working_dtype(files)
    model = kind.load(path, preset=preset, unnorm_key=first.facts['unnorm_key'], dtype=dtype)
    is_source = source_hashes(files)['sha256'] == first.source['sha256']
    said = {'path': str(path), 'kind': 'checkpoint', 'is_source': is_source}
    return _Second(model, said, dtype)


def _described(path: Path, manifest: Manifest) -> dict[str, Any]:
    return {
        'path': str(path),
        'kind': 'artifact',
        'method': manifest.job['method'],
        'bits_stored': manifest.totals['bits_stored'],
    }


def _check_robot(facts: PolicyFacts, robot: RobotSpec) -> None:
    if len(robot.actions) != facts.action_dim:
        raise ConfigError(
            f'the policy gives {facts.action_dim} actions, robot {robot.name} has '
            f'{len(robot.actions)}; name the robot that it was trained on'
        )


def _check_alike(first: PolicyFacts, second: PolicyFacts) -> None:
    for name in ('chunk_size', 'action_dim', 'period_s', 'normalization', 'norm_stats'):
        if getattr(first, name) != getattr(second, name):
            raise ConfigError(
                f'the policies differ in {name} ({_brief(first, name)} and '
                f'{_brief(second, name)}): their answers mean different things'
            )


def _brief(facts: PolicyFacts, name: str) -> object:
    return facts.unnorm_key if name == 'norm_stats' else getattr(facts, name)


def _stretches(
    answers: tuple[Chunks, Chunks], samples: Sequence[Sample], period_s: float
) -> list[tuple[Chunks, Chunks]]:
    stamps = np.array([sample.observation.stamp_ns for sample in samples], dtype=np.int64)
    both = [executed(chunks, stamps, period_s) for chunks in answers]
    return list(zip(*both, strict=True))
