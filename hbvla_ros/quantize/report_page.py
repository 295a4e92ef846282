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

"""The report card as one self-contained HTML page; ``doc/report.md`` says how to read it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
import json
from typing import Any

from hbvla_ros.artifact.manifest import Manifest
from hbvla_ros.core.chart import (
    Band,
    bar_chart,
    BLUE,
    CIRCLE,
    Dot,
    dot_chart,
    ORANGE,
    Series,
    SQUARE,
    TRIANGLE,
)
from hbvla_ros.core.page import (
    facts_table,
    folded,
    heading,
    Markup,
    number,
    page,
    paragraph,
    picture,
    preformatted,
    table,
)
from hbvla_ros.quantize.heat import heat_map, plain_view, scale_bar
from hbvla_ros.quantize.preparation import Provenance
from hbvla_ros.quantize.progress import duration, RunFacts
from hbvla_ros.quantize.report import ONE, report_facts, SALIENT, TWO
from hbvla_ros.quantize.state import BlockJob
import numpy as np
from numpy.typing import NDArray

_MARKERS = {ONE: CIRCLE, SALIENT: TRIANGLE, TWO: SQUARE}
_ERRORS = (('output error', 'output_error', BLUE), ('policy error', 'policy_error', ORANGE))
_BARS = 20  # families whose gain is drawn
Pictures = Mapping[str, NDArray[np.uint8]]


def report_page(facts: Mapping[str, Any], pictures: Pictures) -> str:
    """
    Return the page.

    :param facts: from :func:`hbvla_ros.quantize.report.report_facts`
    :param pictures: by camera, for the heat maps
    """
    job = facts['job']
    title = f'{facts["model"]} ({facts["facts"]["preset"]}) in {facts["bits"]["stored"]:.3f} bits'
    return page(
        title,
        [
            f'Method {job["method"]}, target {job["target"]}. One row per thing that was asked '
            'or measured on the calibration samples; no success rate is measured here.',
            *_summary(facts),
            *_layers(facts['layers']),
            *_tuning(facts['tuned'], facts['distilled']),
            *sensitivity_section(facts['sensitivity']),
            *_heat(facts, pictures),
            *_origin(facts),
        ],
    )


def report_texts(
    work: BlockJob, provenance: Provenance, manifest: Manifest, run: RunFacts
) -> dict[str, str]:
    """
    Return the report card by kind, ``json`` and ``html``.

    :param work: finished
    :param provenance: where it all comes from
    :param manifest: as written
    :param run: how the job ran
    """
    facts = report_facts(work, provenance, manifest, run)
    return {
        'json': json.dumps(facts, indent=1) + '\n',
        'html': report_page(facts, work.pictures),
    }


def sensitivity_section(rows: Sequence[Mapping[str, Any]]) -> Iterator[Markup]:
    """
    Show how much each family moves the action when it alone is binarized.

    :param rows: from :func:`hbvla_ros.quantize.report.sensitivity_facts`; none gives nothing
    """
    if not rows:
        return
    yield heading('Sensitivity: one family at a time')
    series = [
        Series(name, [Dot(i, row[key], row['family']) for i, row in enumerate(rows)], *look)
        for name, key, look in (
            ('one plane', 'error_one', (BLUE, CIRCLE)),
            ('two planes', 'error_two', (ORANGE, SQUARE)),
        )
    ]
    yield dot_chart(series, 'mean squared change of the action, by gain per bit')
    best = rows[:_BARS]
    gains = [max(0.0, row['gain_per_bit']) for row in best]
    yield bar_chart([row['family'] for row in best], [('gain per bit', gains)])
    header = ('family', 'component', 'weights', 'one plane', 'two planes', 'gain per bit', 'gets')
    names = ('family', 'component', 'weights', 'error_one', 'error_two', 'gain_per_bit')
    yield table(
        header,
        ([*(row[name] for name in names), TWO if row['two_planes'] else ONE] for row in rows),
        'Mean squared change of the normalised actions; gain per stored bit of a second plane.',
    )


def _summary(facts: Mapping[str, Any]) -> Iterator[Markup]:
    sizes = facts['bytes']
    yield facts_table(
        {
            'sign bits per weight': number(facts['bits']['sign'], '.3f'),
            'stored bits per weight': number(facts['bits']['stored'], '.3f'),
            'binarized weights': facts['weights'],
            'other parameters': facts['kept_parameters'],
            'bytes of the binarized weights': sizes['packed'],
            'bytes of the other parameters': sizes['kept'],
            'bytes of the weights file': sizes['file'],
            'bytes of all parameters in 16 bit': sizes['in_16_bit'],
            'bytes of the source checkpoint': sizes['source'] or 'not recorded',
            'mean change of the action, normalised': facts['calibration']['action_error'],
            'packed and dense actions differ by': facts['packed_difference'],
        }
    )
    yield heading('Components')
    header = ('component', 'layers', 'weights', 'sign bits', 'stored bits', 'bytes')
    yield table(
        (*header, 'output error', 'largest', 'policy error', 'largest', SALIENT, TWO),
        (
            [
                name,
                *(one[key] for key in ('layers', 'weights', 'bits_sign', 'bits_stored', 'bytes')),
                *(one[f'output_error{which}'] for which in ('', '_max')),
                *(one[f'policy_error{which}'] for which in ('', '_max')),
                *(one['planes'][kind] for kind in (SALIENT, TWO)),
            ]
            for name, one in facts['components'].items()
        ),
        'Errors are means over layers of ‖ΔW x‖² / ‖W x‖² on the calibration samples; the policy '
        'error weighs each token by how much it moves the action. The last two columns count '
        'layers.',
    )


def _layers(layers: Sequence[Mapping[str, Any]]) -> Iterator[Markup]:
    yield heading('Layers')
    series = []
    for name, key, colour in _ERRORS:
        for kind, marker in _MARKERS.items():
            dots = [
                Dot(i, layer[key], layer['name'])
                for i, layer in enumerate(layers)
                if layer['planes'] == kind
            ]
            series.append(Series(f'{name}, {kind}', dots, colour, marker))
    yield dot_chart(series, 'relative error', list(_bands(layers)))
    names = ('name', 'planes', 'transform', 'bits_sign', 'bits_stored')
    header = ('layer', 'shape', 'planes', 'transform', 'sign bits', 'stored bits')
    rows = (
        [layer['name'], '×'.join(map(str, layer['shape'])), *(layer[n] for n in names[1:])]
        + [layer[key] for _, key, _ in _ERRORS]
        + [number(layer['seconds'], '.1f')]
        for layer in layers
    )
    yield folded(
        f'All {len(layers)} layers',
        table((*header, 'output error', 'policy error', 'seconds of its family'), rows),
    )


def _bands(layers: Sequence[Mapping[str, Any]]) -> Iterator[Band]:
    start = 0
    for component, members in groupby(layers, key=lambda layer: str(layer['component'])):
        end = start + len(list(members))
        yield Band(component, start, end)
        start = end


def _tuning(
    tuned: Sequence[Mapping[str, Any]], distilled: Mapping[str, Any] | None
) -> Iterator[Markup]:
    if not tuned:
        return
    yield heading('Tuning')
    series = [
        Series(name, [Dot(i, row[name], row['block']) for i, row in enumerate(tuned)], colour)
        for name, colour in (('before', BLUE), ('after', ORANGE))
    ]
    yield dot_chart(series, 'relative squared error of the block output')
    rows = ([row['block'], row['before'], row['after']] for row in tuned)
    yield folded(f'All {len(tuned)} blocks', table(('block', 'before', 'after'), rows))
    if distilled is not None:
        names = (f'mean change of the action {when} distillation' for when in distilled)
        yield facts_table(dict(zip(names, distilled.values(), strict=True)))


def _heat(facts: Mapping[str, Any], pictures: Pictures) -> Iterator[Markup]:
    maps = facts['heat_maps']
    if not maps:
        return
    yield heading('Which patches move the action')
    yield paragraph(
        'Token importance S_t at the output of some blocks, laid over what the network sees of '
        'the first calibration sample. 1 is the mean over all tokens of the block.'
    )
    crop = facts['picture_crop']
    for camera in dict.fromkeys(one['camera'] for one in maps):
        yield picture(plain_view(pictures[camera], crop), f'Picture of {camera}', camera)
    for block, members in groupby(maps, key=lambda one: str(one['block'])):
        group = list(members)
        most = max(max(map(max, one['scores'])) for one in group)
        yield Markup(f'<h3>{block}</h3>')
        for one in group:
            values = [value for row in one['scores'] for value in row]
            mean, high = sum(values) / len(values), max(values)
            caption = f'{one["camera"]}: mean {mean:.2f}, largest {high:.2f}'
            seen = heat_map(pictures[one['camera']], one['scores'], most, crop)
            yield picture(seen, f'Importance of patches, {block}, {one["camera"]}', caption)
        yield picture(scale_bar(), 'colour scale', f'0 to {most:.2f}')


def _origin(facts: Mapping[str, Any]) -> Iterator[Markup]:
    yield heading('Where it comes from')
    calibration, seconds = facts['calibration'], facts['seconds']
    stages = {f'seconds, {stage}': number(s, '.1f') for stage, s in seconds['stages'].items()}
    yield facts_table(
        {
            'calibration data': calibration['kind'],
            'robot': calibration['robot'],
            'samples': calibration['samples'],
            'calibration SHA-256': calibration['sha256'],
            'checkpoint SHA-256': facts['source_sha256'],
            'seconds': number(seconds['total'], '.1f'),
            'that is': duration(seconds['total']),
            **stages,
            'blocks that an earlier run had done': facts['resumed_blocks'],
            'threads': facts['threads'],
            'hbvla_ros': facts['package_version'],
            'torch': facts['torch'],
        }
    )
    yield heading('Left in 16 or 32 bit')
    reasons: dict[str, list[str]] = defaultdict(list)
    for name, reason in facts['skipped'].items():
        reasons[reason].append(name)
    rows = ([reason, str(len(names)), ', '.join(names)] for reason, names in reasons.items())
    yield table(('reason', 'layers', 'which'), rows)
    yield heading('Do it again')
    yield preformatted(str(facts['command']))
