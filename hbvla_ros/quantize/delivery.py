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
Write the artifact of a finished job, read it back to see that it is what was computed, report.

The report card lies beside the artifact: ``<output>.report.json`` and ``<output>.report.html``.
"""

from pathlib import Path

from hbvla_ros.artifact.manifest import Manifest
from hbvla_ros.artifact.store import load_artifact, save_artifact
from hbvla_ros.core.errors import ArtifactError
from hbvla_ros.core.page import write_whole
from hbvla_ros.models.packed import build_packed, dense_weights
from hbvla_ros.quantize.contents import artifact_contents
from hbvla_ros.quantize.preparation import Provenance
from hbvla_ros.quantize.progress import RunFacts
from hbvla_ros.quantize.report_page import report_texts
from hbvla_ros.quantize.state import BlockJob
import torch

_ADVICE = 'do not use this artifact and report the checkpoint and the settings'
# Allowed difference of packed and dequantized actions. In float32 only the order of sums differs;
# in bfloat16 activations are rounded at other places: at real widths, with two blocks of each
# network, actions differed by 5 %. The weights are compared exactly besides.
_PARITY = {torch.float32: 1e-3, torch.bfloat16: 0.25}


def save(work: BlockJob, provenance: Provenance, output: Path) -> Manifest:
    """
    Write the artifact of a finished job.

    :param work: every block is quantized
    :param provenance: where it all comes from
    :param output: folder to create
    :raises ArtifactError: if it exists or can't be written
    """
    return save_artifact(artifact_contents(work, provenance), output)


@torch.no_grad()
def verify(work: BlockJob, output: Path) -> float:
    """
    Load what was written, compare every weight exactly and the actions on one sample.

    :return: largest difference of the normalised actions
    :raises ArtifactError: if a weight differs, the actions differ too much, or the artifact can't
        be read
    """
    artifact = load_artifact(output)
    dtype = next(work.model.parameters()).dtype
    for name, restored in dense_weights(artifact):
        weight = work.model.get_parameter(name)
        if not torch.equal(restored.to(weight), weight):
            raise ArtifactError(
                f'{output}: the values of {name} are not those in memory; {_ADVICE}'
            )
    dense = work.model(work.inputs[0])
    written = build_packed(artifact).to(dtype)
    difference = float((written(work.inputs[0]) - dense).abs().max())
    if not difference <= _PARITY[dtype] * max(1.0, float(dense.abs().max())):
        raise ArtifactError(
            f'{output}: the packed model differs from the quantized one by {difference:.2e}; '
            f'{_ADVICE}'
        )
    return difference


def save_report(
    work: BlockJob, provenance: Provenance, manifest: Manifest, run: RunFacts, output: Path
) -> Path:
    """
    Write the report card of an artifact beside it; earlier ones are replaced.

    :param work: finished
    :param provenance: where it all comes from
    :param manifest: as written
    :param run: how the job ran
    :param output: folder of the artifact
    :return: the page
    :raises ArtifactError: if it can't be written; the artifact stays
    """
    try:
        for kind, text in report_texts(work, provenance, manifest, run).items():
            write_whole(report_file(output, kind), text)
    except OSError as error:
        raise ArtifactError(
            f'{output} is complete, but its report could not be written: {error}'
        ) from error
    return report_file(output, 'html')


def report_file(output: Path, kind: str) -> Path:
    """Return where the report of an artifact lies; ``kind`` is ``json`` or ``html``."""
    return output.with_name(f'{output.name}.report.{kind}')
