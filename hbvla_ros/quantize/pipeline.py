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

from collections.abc import Iterator, Sequence
from pathlib import Path

from hbvla_ros.core.errors import ArtifactError
from hbvla_ros.quantize.blocks import quantize_blocks
from hbvla_ros.quantize.delivery import save, save_report, verify
from hbvla_ros.quantize.distillation import distill, teach
from hbvla_ros.quantize.job import AUTO, DISTILL, QuantizeJob
from hbvla_ros.quantize.preparation import check_packable, prepare
from hbvla_ros.quantize.probe_cache import find_importance
from hbvla_ros.quantize.progress import Progress, RunFacts, StageSeconds, StepCounter
from hbvla_ros.quantize.resume import WorkFolder
from hbvla_ros.quantize.sensitivity import allocate


def run_job(job: QuantizeJob, robots: Path) -> Iterator[Progress]:
    """
    Quantize a checkpoint, or go on with a job that was interrupted.

    :param job: what to do
    :param robots: folder of the robot files that we ship
    :return: an iterator; artifact and report card are complete when it ends
    :raises HbvlaError: with what is wrong and what to do; no artifact is written then, unless only
        its report failed
    """
    watch = StageSeconds()
    for step in _run(job, robots, watch):
        watch.note(step.stage)
        yield step


def _run(job: QuantizeJob, robots: Path, watch: StageSeconds) -> Iterator[Progress]:
    output = Path(job.output)
    if output.exists():
        raise ArtifactError(f'{output} exists; choose another output folder or remove it')
    check_packable(job)
    ready = prepare(job, robots)
    work, plan = ready.work, ready.work.plan()
    folder = WorkFolder.beside(output, ready.provenance)
    known = folder.begin()
    watch.keep(folder.path / 'seconds.json')
    work.activations = folder.activations(job.activation_budget_mib)
    families = [names for block in plan for names in block.families]
    measured = len(families) if job.planes == AUTO else 0
    distilled = job.distill_steps if job.tune == DISTILL else 0
    stages = _stages(len(work.inputs), measured, work.sizes(plan), distilled)
    count = StepCounter(stages, sum(map(len, families)))
    resumed = f', {known} blocks done before' if known else ''
    yield count.step('load', f'{len(plan)} blocks, {len(work.inputs)} samples{resumed}')
    for done in find_importance(job, ready, plan):
        yield count.step('probe', f'token importance of sample {done}')
    if job.planes == AUTO:
        for text in allocate(work, plan, job.plane_budget):
            yield count.step('sensitivity', text)
    lessons = teach(work, plan, ready.lessons)
    for block, error in quantize_blocks(work, plan, folder):
        detail = f'{block.name}: output error {error:.4f}'
        yield count.step('quantize', detail, sum(map(len, block.families)), error)
    if job.tune == DISTILL:
        for loss in distill(work, plan, lessons, job.distill_steps, job.seed):
            yield count.step('distill', f'loss {loss:.4f}')
    manifest = save(work, ready.provenance, output)
    folder.close()
    yield count.step('save', f'{manifest.totals["bits_stored"]:.3f} stored bits')
    difference = verify(work, output)
    yield count.step('verify', f'packed and dense actions differ by {difference:.1e}')
    run = RunFacts(
        seconds=watch.seconds, resumed_blocks=known, difference=difference, robots=robots
    )
    yield count.step('report', str(save_report(work, ready.provenance, manifest, run, output)))


def _stages(
    probes: int, families: int, sizes: Sequence[float], distilled: int
) -> dict[str, Sequence[float]]:
    """Return the stages in order and the work of their steps; blocks count by their weights."""
    one = [1.0]
    return {
        'load': one,
        'probe': one * probes,
        'sensitivity': one * families,
        'quantize': sizes,
        'distill': one * distilled,
        'save': one,
        'verify': one,
        'report': one,
    }
