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

"""An artifact so small that every byte of it can be changed, with every kind of entry in it."""

from dataclasses import replace
from pathlib import Path

from hbvla_ros.artifact.store import Artifact, load_artifact, save_artifact

_KEPT, _KEPT_BYTES, _FILE_BYTES = 6, 1024, 512


def small_artifact(source: Path, target: Path) -> Path:
    """
    Write one family of packed layers, a few kept tensors and the begin of each file.

    :param source: folder of an artifact
    :param target: folder to create
    :return: ``target``
    """
    whole = load_artifact(source)
    entries = whole.manifest.layers
    sizes: dict[str, int] = {}
    for entry in entries.values():
        sizes[entry.family] = sizes.get(entry.family, 0) + entry.shape[0] * entry.shape[1]
    family = min(sizes, key=lambda name: (sizes[name], name))
    chosen = {name: entry for name, entry in entries.items() if entry.family == family}
    little = [n for n, t in whole.kept.items() if t.numel() * t.element_size() <= _KEPT_BYTES]
    small = Artifact(
        manifest=replace(whole.manifest, layers=chosen, skipped={}),
        layers={name: whole.layers[name] for name in chosen},
        kept={name: whole.kept[name] for name in sorted(little)[:_KEPT]},
        files={name: content[:_FILE_BYTES] for name, content in whole.files.items()},
    )
    save_artifact(small, target)
    return target
