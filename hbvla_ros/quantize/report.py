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
The facts of a report card: plain JSON values about a finished job or an artifact.

What a manifest holds is enough for :func:`manifest_facts`; the job itself adds what is not part of
the artifact: times, tuning, sensitivity, and where in the pictures the important tokens are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
import math
import re
from typing import Any

from hbvla_ros.artifact.manifest import LayerEntry, Manifest
from hbvla_ros.artifact.size import weights_file_bytes
from hbvla_ros.models.base import Block, COMPONENTS, LANGUAGE, VISION
from hbvla_ros.quantize.command import command_of_artifact, quantize_command
from hbvla_ros.quantize.preparation import Provenance
from hbvla_ros.quantize.progress import RunFacts
from hbvla_ros.quantize.sensitivity import FamilySensitivity
from hbvla_ros.quantize.state import BlockJob
import torch

_SIDES = ('before', 'after')
ONE, SALIENT, TWO = 'one plane', 'salient columns', 'two planes'


def report_facts(
    work: BlockJob, provenance: Provenance, manifest: Manifest, run: RunFacts
) -> dict[str, Any]:
    """
    Return everything that a report card says.

    :param work: finished
    :param provenance: where it all comes from
    :param manifest: as written
    :param run: how the job ran
    """
    return {
        **manifest_facts(manifest),
        'command': quantize_command(provenance.job, run.robots),
        'seconds': {'total': sum(run.seconds.values()), 'stages': dict(run.seconds)},
        'resumed_blocks': run.resumed_blocks,
        'packed_difference': run.difference,
        'threads': torch.get_num_threads(),
        'torch': torch.__version__,
        'tuned': [
            {'block': name, **dict(zip(_SIDES, errors, strict=True))}
            for name, errors in work.tuned.items()
        ],
        'distilled': work.distilled and dict(zip(_SIDES, work.distilled, strict=True)),
        'sensitivity': sensitivity_facts(work.sensitivity, set(work.options.overrides)),
        'picture_crop': work.model.picture_crop,
        'heat_maps': list(_heat_maps(work)),
    }


def manifest_facts(manifest: Manifest) -> dict[str, Any]:
    """
    Return what an artifact says about itself.

    Errors of components are means over their layers, and the largest ones.

    :param manifest: of the artifact
    """
    totals, job = manifest.totals, dict(manifest.job)
    chosen, calibration = job.pop('chosen', None), dict(manifest.calibration)
    names = sorted(manifest.layers, key=lambda name: _order(name, manifest.layers[name]))
    return {
        'package_version': manifest.package_version,
        'model': manifest.model,
        'facts': {k: v for k, v in manifest.facts.items() if k != 'norm_stats'},
        'job': job,
        'bits': {'sign': totals['bits_sign'], 'stored': totals['bits_stored']},
        'weights': totals['quantized_weights'],
        'kept_parameters': totals['kept_parameters'],
        'bytes': {
            'packed': totals['packed_bytes'],
            'kept': totals['kept_bytes'],
            'file': weights_file_bytes(manifest.tensors),
            'in_16_bit': 2 * (totals['quantized_weights'] + totals['kept_parameters']),
            'source': manifest.source.get('bytes'),
        },
        'components': {
            component: _component(entries)
            for component in COMPONENTS
            if (entries := [e for e in manifest.layers.values() if e.component == component])
        },
        'layers': [{'name': name, **_layer(manifest.layers[name])} for name in names],
        'skipped': dict(sorted(manifest.skipped.items())),
        'calibration': calibration,
        'source_sha256': manifest.source['sha256'],
        'command': None if chosen is None else command_of_artifact(chosen, calibration['kind']),
    }


def sensitivity_facts(
    rows: Sequence[FamilySensitivity], twice: set[str]
) -> list[dict[str, object]]:
    """
    Return measured rows as plain values, those that gain most per bit first.

    :param rows: in any order
    :param twice: families that have a second plane
    """
    return [
        {**asdict(row), 'gain_per_bit': row.gain_per_bit, 'two_planes': row.family in twice}
        for row in sorted(rows, key=lambda row: (-row.gain_per_bit, row.family))
    ]


def planes(entry: LayerEntry) -> str:
    """Say how many planes a layer has: one, a second on salient columns, or two."""
    if entry.num_salient == 0:
        return ONE
    return TWO if entry.num_salient == entry.shape[1] else SALIENT


def _layer(entry: LayerEntry) -> dict[str, Any]:
    names = ('component', 'family', 'bits_sign', 'bits_stored', 'output_error', 'policy_error')
    values = {name: getattr(entry, name) for name in (*names, 'transform', 'seconds')}
    return {'shape': list(entry.shape), 'planes': planes(entry), **values}


def _component(entries: Sequence[LayerEntry]) -> dict[str, Any]:
    sizes = [entry.shape[0] * entry.shape[1] for entry in entries]
    weights = sum(sizes)

    def mean(name: str) -> float:
        return math.fsum(getattr(entry, name) for entry in entries) / len(entries)

    def weighted(name: str) -> float:
        pairs = zip(entries, sizes, strict=True)
        return math.fsum(getattr(entry, name) * size for entry, size in pairs) / weights

    return {
        'layers': len(entries),
        'weights': weights,
        'bits_sign': weighted('bits_sign'),
        'bits_stored': weighted('bits_stored'),
        'bytes': round(weighted('bits_stored') * weights / 8),
        'output_error': mean('output_error'),
        'output_error_max': max(entry.output_error for entry in entries),
        'policy_error': mean('policy_error'),
        'policy_error_max': max(entry.policy_error for entry in entries),
        'planes': {kind: sum(planes(e) == kind for e in entries) for kind in (ONE, SALIENT, TWO)},
    }


def _order(name: str, entry: LayerEntry) -> tuple[int, list[tuple[int, str]]]:
    """Sort by component, then by name with ``layers.2`` before ``layers.10``."""
    parts = [(int(p), '') if p.isdigit() else (-1, p) for p in re.split(r'\.', name)]
    return COMPONENTS.index(entry.component), parts


def _heat_maps(work: BlockJob) -> Iterator[dict[str, Any]]:
    for block in _shown_blocks([b for b in work.model.blocks() if b.name in work.importance]):
        scores = work.model.patch_scores(block.name, work.importance[block.name][0]) or {}
        for camera, patches in zip(work.pictures, scores.values(), strict=False):
            rows = [[float(f'{x:.4g}') for x in row] for row in patches.tolist()]
            yield {
                'block': block.name,
                'component': block.component,
                'camera': camera,
                'scores': rows,
            }


def _shown_blocks(blocks: Sequence[Block]) -> list[Block]:
    """Choose the last block of each chain of vision and the first one of the language model."""
    last = {block.chain: block for block in blocks if block.component == VISION}
    return [*last.values(), *[block for block in blocks if block.component == LANGUAGE][:1]]
