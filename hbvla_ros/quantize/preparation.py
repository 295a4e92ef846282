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

"""Load what a job works on: checkpoint, calibration samples, method; and say where it is from."""

from collections.abc import Sequence
from dataclasses import dataclass
import hashlib
from pathlib import Path
from typing import Any

from hbvla_ros.binarize.method import make_config, Method, METHODS
from hbvla_ros.core.episodes.episode import ReadConfig
from hbvla_ros.core.episodes.mapping import ChunkShape
from hbvla_ros.core.errors import ConfigError
from hbvla_ros.core.robot import find_robot
from hbvla_ros.models.base import MODELS, VlaModel
from hbvla_ros.quantize.job import AUTO, DEMO_L1, DISTILL, QuantizeJob
from hbvla_ros.quantize.probing import demonstrations
from hbvla_ros.quantize.samples import (
    load_calibration,
    Sample,
    samples_hash,
    small_pictures,
)
from hbvla_ros.quantize.state import BlockJob, BlockOptions
import torch

_SMALL_BYTES = 4 << 30  # checkpoints up to this size are calibrated in float32


@dataclass(frozen=True, eq=False)
class Provenance:
    """Where an artifact comes from: the job, the method's full configuration, hashes of inputs."""

    job: QuantizeJob
    config: Any
    source: dict[str, Any]
    samples_hash: str
    num_samples: int


@dataclass(frozen=True, eq=False)
class Prepared:
    """
    A job that is ready to run.

    ``demonstrated`` are normalised actions for the probe; ``lessons`` prepared model inputs for
    distillation, none without it.
    """

    work: BlockJob
    provenance: Provenance
    demonstrated: Sequence[torch.Tensor] | None
    lessons: Sequence[Any]


def check_packable(job: QuantizeJob) -> None:
    """
    Refuse a method whose result can't be packed, before anything is loaded.

    :raises ConfigError: naming those that can
    """
    if not METHODS[job.method].on_grid:
        known = [name for name in METHODS if METHODS[name].on_grid]
        raise ConfigError(
            f'{job.method} is a baseline for comparison: it stores more bits than it has signs '
            f'and no kernel runs it; choose one of {", ".join(known)}'
        )


def prepare(job: QuantizeJob, robots: Path) -> Prepared:
    """
    Load the checkpoint and the calibration samples of a job.

    :param job: what to do
    :param robots: folder of the robot files that we ship
    :raises HbvlaError: with what is wrong and what to do
    """
    kind, method = MODELS[job.model], METHODS[job.method]
    config = make_config(method, job.method_settings())
    robot = find_robot(job.robot, robots)
    if job.num_threads:
        torch.set_num_threads(job.num_threads)
    folder = Path(job.checkpoint)
    files = kind.source_files(folder)
    auto = job.weights_dtype == AUTO
    dtype = working_dtype(files) if auto else getattr(torch, job.weights_dtype)
    model = kind.load(folder, preset=job.preset, unnorm_key=job.unnorm_key, dtype=dtype)
    chunk = None
    if job.probe == DEMO_L1:
        chunk = ChunkShape(chunk_size=model.facts.chunk_size, period_s=model.facts.period_s)
    reading = ReadConfig(instruction=job.instruction, bgr=job.bgr)
    samples = load_calibration(job.calibration, robot, job.num_samples, job.seed, chunk, reading)
    work = start_work(job, model, method, config, samples)
    demonstrated = None
    if job.probe == DEMO_L1:
        demonstrated = demonstrations([sample.actions for sample in samples], work)
    lessons: Sequence[Any] = work.inputs if job.tune == DISTILL else ()
    if lessons and job.distill_samples:
        more = load_calibration(
            job.calibration, robot, job.distill_samples, job.seed, config=reading
        )
        lessons = _inputs(model, more)
        samples = [*samples, *more]
    provenance = Provenance(
        job, config, source_hashes(files), samples_hash(samples), len(work.inputs)
    )
    return Prepared(work, provenance, demonstrated, lessons)


def start_work(
    job: QuantizeJob,
    model: VlaModel,
    method: Method,
    config: Any,
    samples: Sequence[Sample],
) -> BlockJob:
    """Return the state of a job at its start, on a model that is already loaded."""
    options = BlockOptions.of_job(job, method)
    work = BlockJob(
        model, _inputs(model, samples), method, config, job.components, job.protect, options
    )
    work.pictures = small_pictures(samples[0].observation)
    return work


def _inputs(model: VlaModel, samples: Sequence[Sample]) -> list[Any]:
    return [model.calibrating(model.prepare(sample.observation)) for sample in samples]


def working_dtype(files: Sequence[Path]) -> torch.dtype:
    """Return float32 for a small checkpoint, bfloat16 for one that would fill the memory."""
    size = sum(file.stat().st_size for file in files)
    return torch.float32 if size <= _SMALL_BYTES else torch.bfloat16


def source_hashes(files: Sequence[Path]) -> dict[str, Any]:
    """Return the SHA-256 of every file and of all of them together, and their size in bytes."""
    hashes = {file.name: _file_hash(file) for file in files}
    whole = hashlib.sha256(''.join(f'{k}:{v}\n' for k, v in sorted(hashes.items())).encode())
    size = sum(file.stat().st_size for file in files)
    return {'sha256': whole.hexdigest(), 'bytes': size, 'files': hashes}


def _file_hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
