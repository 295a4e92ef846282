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

"""The facts of an artifact as lines for a terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

_BYTES = {
    'packed': 'binarized weights',
    'kept': 'other parameters',
    'file': 'the weights file',
    'in_16_bit': 'all parameters in 16 bit',
    'source': 'the source checkpoint',
}


def facts_text(facts: Mapping[str, Any]) -> str:
    """
    Return the facts as text.

    :param facts: from :func:`hbvla_ros.quantize.report.manifest_facts`
    """
    lines = [*_head(facts), '', *_components(facts['components']), '', *_layers(facts['layers'])]
    lines += [f'{name:60} kept: {reason}' for name, reason in facts['skipped'].items()]
    return '\n'.join([*lines, '', *_origin(facts)])


def _head(facts: Mapping[str, Any]) -> Iterator[str]:
    model, job, bits = facts['facts'], facts['job'], facts['bits']
    config = ', '.join(f'{name}={value}' for name, value in job['config'].items())
    yield f'{facts["model"]} ({model["preset"]}), method {job["method"]} ({config})'
    yield (
        f'actions {model["chunk_size"]} x {model["action_dim"]} every {model["period_s"]} s, '
        f'{model["num_images"]} images, statistics {model["unnorm_key"]}'
    )
    yield (
        f'{facts["weights"]:,} weights at {bits["sign"]:.3f} sign bits, {bits["stored"]:.3f} '
        f'stored bits; {facts["kept_parameters"]:,} parameters at 16 or 32'
    )
    for name, text in _BYTES.items():
        size = facts['bytes'][name]
        yield f'{size:>16,} bytes: {text}' if size is not None else f'    not recorded: {text}'


def _components(components: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f'{"component":12} {"layers":>6} {"weights":>14} {"sign":>6} {"stored":>6} {"bytes":>13} '
        f'{"error":>7} {"max":>7} {"policy":>7} {"max":>7}'
    )
    for name, one in components.items():
        errors = (one[f'{kind}_error{which}'] for kind in ('output', 'policy') for which in _MOST)
        yield (
            f'{name:12} {one["layers"]:6} {one["weights"]:14,} {one["bits_sign"]:6.3f} '
            f'{one["bits_stored"]:6.3f} {one["bytes"]:13,} '
            + ' '.join(f'{error:7.4f}' for error in errors)
        )


_MOST = ('', '_max')


def _layers(layers: list[Mapping[str, Any]]) -> Iterator[str]:
    yield f'{"layer":60} {"shape":>12} {"sign":>6} {"stored":>6} {"error":>7} {"policy":>7}'
    for layer in layers:
        shape = 'x'.join(map(str, layer['shape']))
        yield (
            f'{layer["name"]:60} {shape:>12} {layer["bits_sign"]:6.3f} '
            f'{layer["bits_stored"]:6.3f} {layer["output_error"]:7.4f} '
            f'{layer["policy_error"]:7.4f}'
        )


def _origin(facts: Mapping[str, Any]) -> Iterator[str]:
    calibration = facts['calibration']
    yield (
        f'calibrated on {calibration["samples"]} samples ({calibration["kind"]}) of robot '
        f'{calibration["robot"]}, SHA-256 {calibration["sha256"]}'
    )
    yield (
        f'actions on them differ from full precision by {calibration["action_error"]:.5f} on '
        'average, normalised'
    )
    yield f'checkpoint SHA-256 {facts["source_sha256"]}'
    yield f'made with: {facts["command"] or "not recorded"}'
