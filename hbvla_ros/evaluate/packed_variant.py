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

"""Variants that are artifacts, made by the job that ``hbvla_quantize`` runs."""

from collections.abc import Generator
from pathlib import Path

from hbvla_ros.artifact.manifest import Manifest
from hbvla_ros.artifact.store import read_manifest
from hbvla_ros.models.base import VlaModel
from hbvla_ros.models.packed import load_packed
from hbvla_ros.quantize.accounting import Bits, level_bits_at_oft
from hbvla_ros.quantize.job import QuantizeJob
from hbvla_ros.quantize.pipeline import run_job
import torch


def make_packed(job: QuantizeJob, robots: Path) -> Generator[str, None, Bits]:
    """
    Quantize a checkpoint, unless the artifact is there.

    :param job: ``output`` is the folder of the artifact
    :param robots: folder of the robot files that we ship
    :return: yields what was done after each step, and returns the true bits
    :raises HbvlaError: with what is wrong and what to do
    """
    path = Path(job.output)
    if not path.exists():
        for step in run_job(job, robots):
            yield step.detail
    return manifest_bits(read_manifest(path))


def load_variant(path: Path, backend: str) -> VlaModel:
    """
    Load an artifact in float32.

    :param path: its folder
    :param backend: ``packed`` or ``dequant``
    :raises ArtifactError: if it is damaged
    """
    return load_packed(path, backend=backend).model.to(torch.float32)


def manifest_bits(manifest: Manifest) -> Bits:
    """
    Return the bits of an artifact as ``quantize/accounting.py`` counts those of a job.

    :param manifest: of the artifact
    """
    weights = at_oft = 0.0
    for entry in manifest.layers.values():
        rows, columns = entry.shape
        salient = -1 if entry.num_salient == columns else entry.num_salient
        weights += rows * columns
        at_oft += rows * columns * level_bits_at_oft(salient, permuted=entry.has_permutation)
    totals = manifest.totals
    return Bits(totals['bits_sign'], totals['bits_stored'], at_oft / weights)
