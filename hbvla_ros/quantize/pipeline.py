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
The offline job from checkpoint to artifact, as an iterator of progress.

Node, command line and tests consume the same iterator. The artifact appears, whole, when the
iterator ends; an error or an interruption leaves nothing behind.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hbvla_ros.artifact.store import save_artifact
from hbvla_ros.binarize.method import make_config, METHODS
from hbvla_ros.core.errors import ArtifactError
from hbvla_ros.core.robot import find_robot
from hbvla_ros.models.base import MODELS
from hbvla_ros.models.packed import load_packed
from hbvla_ros.quantize.blocks import BlockJob, probe_importance, quantize_blocks
from hbvla_ros.quantize.contents import artifact_contents, Provenance
from hbvla_ros.quantize.job import AUTO, QuantizeJob
from hbvla_ros.quantize.samples import load_samples, samples_hash
import torch

_SMALL_BYTES = 4 << 30  # checkpoints up to this size are calibrated in float32
_PARITY = 1e-3  # allowed difference of packed and dequantized actions: sums differ in their order


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is: ``done`` of ``total`` steps, the stage and what just happened."""

    done: int
    total: int
    stage: str
    detail: str


def run_job(job: QuantizeJob, robots: Path) -> Iterator[Progress]:
    """
    Quantize a checkpoint.

    :param job: what to do
    :param robots: folder of the robot files that we ship
    :return: an iterator; the artifact is complete when it ends
    :raises HbvlaError: with what is wrong and what to do; nothing is written then
    """
    output = Path(job.output)
    if output.exists():
        raise ArtifactError(f'{output} exists; choose another output folder or remove it')
    work, provenance = _prepare(job, robots)
    plan = work.plan()
    probes = len(work.inputs)
    total = probes + len(plan) + 2
    yield Progress(0, total, 'load', f'{len(plan)} blocks, {probes} samples')
    for done in probe_importance(work, plan, job.probe_draws, job.seed):
        yield Progress(done, total, 'probe', f'token importance of sample {done}')
    for done, (block, error) in enumerate(quantize_blocks(work, plan), start=probes + 1):
        yield Progress(done, total, 'quantize', f'{block.name}: output error {error:.4f}')
    manifest = save_artifact(artifact_contents(work, provenance), output)
    yield Progress(total - 1, total, 'save', f'{manifest.totals["bits_stored"]:.3f} stored bits')
    difference = _check(work, output)
    yield Progress(total, total, 'verify', f'packed and dense actions differ by {difference:.1e}')


def _prepare(job: QuantizeJob, robots: Path) -> tuple[BlockJob, Provenance]:
    kind, method = MODELS[job.model], METHODS[job.method]
    config = make_config(method, job.method_settings())
    robot = find_robot(job.robot, robots)
    if job.num_threads:
        torch.set_num_threads(job.num_threads)
    folder = Path(job.checkpoint)
    files = kind.source_files(folder)
    size = sum(file.stat().st_size for file in files)
    dtype = torch.float32 if size <= _SMALL_BYTES else torch.bfloat16
    model = kind.load(folder, preset=job.preset, unnorm_key=job.unnorm_key, dtype=dtype)
    samples = load_samples(job.calibration, robot, job.num_samples, job.seed)
    inputs = [model.prepare(sample) for sample in samples]
    target = method.target if job.target == AUTO else job.target
    work = BlockJob(model, inputs, method, config, job.components, job.protect, target)
    return work, Provenance(job, config, files, samples_hash(samples), len(samples))


@torch.no_grad()
def _check(work: BlockJob, output: Path) -> float:
    """Load what was written and compare it with the weights in memory on one sample."""
    dense = work.model(work.inputs[0])
    packed = load_packed(output).model.to(next(work.model.parameters()).dtype)
    difference = float((packed(work.inputs[0]) - dense).abs().max())
    if not difference <= _PARITY * max(1.0, float(dense.abs().max())):
        raise ArtifactError(
            f'{output}: the packed model differs from the quantized one by {difference:.2e}; '
            'do not use this artifact and report the checkpoint and the settings'
        )
    return difference
