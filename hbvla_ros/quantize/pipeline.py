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
iterator ends; a job that was interrupted goes on where it was (``quantize/resume.py``).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hbvla_ros.core.errors import ArtifactError
from hbvla_ros.quantize.blocks import quantize_blocks
from hbvla_ros.quantize.delivery import save, verify
from hbvla_ros.quantize.job import AUTO, QuantizeJob
from hbvla_ros.quantize.preparation import check_packable, prepare
from hbvla_ros.quantize.probing import probe_importance
from hbvla_ros.quantize.resume import WorkFolder
from hbvla_ros.quantize.sensitivity import allocate


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is: ``done`` of ``total`` steps, the stage and what just happened."""

    done: int
    total: int
    stage: str
    detail: str


def run_job(job: QuantizeJob, robots: Path) -> Iterator[Progress]:
    """
    Quantize a checkpoint, or go on with a job that was interrupted.

    :param job: what to do
    :param robots: folder of the robot files that we ship
    :return: an iterator; the artifact is complete when it ends
    :raises HbvlaError: with what is wrong and what to do; no artifact is written then
    """
    output = Path(job.output)
    if output.exists():
        raise ArtifactError(f'{output} exists; choose another output folder or remove it')
    check_packable(job)
    ready = prepare(job, robots)
    work, plan = ready.work, ready.work.plan()
    folder = WorkFolder.beside(output, ready.provenance)
    known = folder.open()
    work.activations = folder.activations(job.activation_budget_mib)
    probes = len(work.inputs)
    families = sum(len(block.families) for block in plan) if job.planes == AUTO else 0
    total = probes + families + len(plan) + 2
    resumed = f', {known} blocks done before' if known else ''
    yield Progress(0, total, 'load', f'{len(plan)} blocks, {probes} samples{resumed}')
    for done in probe_importance(work, plan, job.probe_draws, job.seed, ready.demonstrated):
        yield Progress(done, total, 'probe', f'token importance of sample {done}')
    if families:
        for done, text in enumerate(allocate(work, plan, job.plane_budget), start=probes + 1):
            yield Progress(done, total, 'sensitivity', text)
    start = probes + families + 1
    for done, (block, error) in enumerate(quantize_blocks(work, plan, folder), start=start):
        yield Progress(done, total, 'quantize', f'{block.name}: output error {error:.4f}')
    manifest = save(work, ready.provenance, output)
    folder.close()
    yield Progress(total - 1, total, 'save', f'{manifest.totals["bits_stored"]:.3f} stored bits')
    difference = verify(work, output)
    yield Progress(total, total, 'verify', f'packed and dense actions differ by {difference:.1e}')
