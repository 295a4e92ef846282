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
The manifest: what an artifact holds, where it came from, and the hash of every tensor.

It is JSON, written last, and carries a checksum of itself. A reader refuses a newer schema. See
``doc/artifact_format.md``.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
import hashlib
import json
from typing import Any

from hbvla_ros.core.errors import ArtifactError
from hbvla_ros.kernels.packing import LAYOUT_VERSION

SCHEMA_VERSION = 1
INT8_LIMIT = 0.01  # relative output error up to which a layer may run with int8 activations


@dataclass(frozen=True, kw_only=True)
class LayerEntry:
    """
    One quantized linear.

    Errors are relative output errors on the calibration set: under the plain Hessian and under the
    one weighted by token importance. ``seconds`` is the time of its whole family. ``int8_error``
    is the relative output error that int8 activations add; None where it was not measured.
    """

    shape: tuple[int, int]
    component: str
    family: str
    num_salient: int
    transform: str
    salient_transform: str
    has_permutation: bool
    bits_sign: float
    bits_stored: float
    output_error: float
    policy_error: float
    seconds: float
    int8_error: float | None = None

    @property
    def allows_int8(self) -> bool:
        """Tell whether int8 activations were measured and cost little enough."""
        return self.int8_error is not None and self.int8_error <= INT8_LIMIT


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """
    Everything about an artifact but the numbers.

    ``facts`` and ``architecture`` rebuild the model, ``source``, ``job`` and ``calibration`` say
    where the weights came from, ``layers`` lists every quantized linear, ``skipped`` every other
    linear with the reason, ``tensors`` and ``files`` the SHA-256 of every stored tensor and file.
    """

    schema_version: int = SCHEMA_VERSION
    layout_version: int = LAYOUT_VERSION
    package_version: str
    model: str
    architecture: Mapping[str, Any]
    facts: Mapping[str, Any]
    source: Mapping[str, Any]
    job: Mapping[str, Any]
    calibration: Mapping[str, Any]
    totals: Mapping[str, Any]
    layers: Mapping[str, LayerEntry]
    skipped: Mapping[str, str]
    tensors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    header_sha256: str = ''

    def to_json(self) -> str:
        """Return the text of ``manifest.json``, with its checksum."""
        data = asdict(self)
        return _text(data)

    @classmethod
    def from_json(cls, text: str, where: str) -> 'Manifest':
        """
        Read what :meth:`to_json` wrote.

        :param text: contents of ``manifest.json``
        :param where: its path, for messages
        :raises ArtifactError: if it is damaged, incomplete or of a newer schema
        """
        try:
            data = json.loads(text)
            version = int(data['schema_version'])
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f'{where}: not a manifest: {error!r}') from error
        if version > SCHEMA_VERSION:
            raise ArtifactError(
                f'{where}: schema {version} is newer than {SCHEMA_VERSION}; upgrade hbvla_ros or '
                'quantize again'
            )
        checksum = data.pop('checksum', None)
        if checksum != _checksum(data):
            raise ArtifactError(f'{where}: the checksum does not match; the file was changed')
        if text != _text(data):
            raise ArtifactError(
                f'{where}: it says the same as before in other characters; the file was changed'
            )
        missing = {entry.name for entry in fields(cls)} ^ set(data)
        if missing:
            raise ArtifactError(f'{where}: entries missing or unknown: {sorted(missing)}')
        if data['layout_version'] != LAYOUT_VERSION:
            raise ArtifactError(
                f'{where}: bit layout {data["layout_version"]}, this program reads '
                f'{LAYOUT_VERSION}; quantize again'
            )
        layers = {
            name: LayerEntry(**{**entry, 'shape': tuple(entry['shape'])})
            for name, entry in data.pop('layers').items()
        }
        return cls(**data, layers=layers)


def _text(data: Mapping[str, Any]) -> str:
    whole = {**data, 'checksum': _checksum(data)}
    return json.dumps(whole, indent=1, sort_keys=True) + '\n'


def _checksum(data: Mapping[str, Any]) -> str:
    canonical = json.dumps(data, sort_keys=True, separators=(',', ':'))
    return hashlib.sha256(canonical.encode()).hexdigest()
