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
Damage the files of others in ten thousand ways each and record what the readers do.

    .venv/bin/python -m benchmarks.fuzz --artifact FOLDER

Writes ``benchmarks/results/fuzz.json``, each kind of file as soon as it is done. The artifact must
be small; ``.cache/demo`` has one after ``./scripts/demo``. Besides, single bytes of it are
changed, evenly spread, and every byte of a much smaller one in nine ways.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
import random
import tempfile
import time
from typing import Any

from benchmarks.fuzz.small import small_artifact
from benchmarks.fuzz.targets import artifact_of, fuzz, Target, targets
from benchmarks.record import merge_rows
from hbvla_ros.artifact.store import load_artifact
from hbvla_ros.core.errors import ArtifactError

SPREAD, EVERY = 'single bytes of an artifact', 'every byte of a small artifact'
WAYS = 9


def single_bytes(artifact: Path, folder: Path, limit: int) -> dict[str, Any]:
    """Change single bytes of an artifact, evenly spread, and count those that went unnoticed."""
    files = artifact_of(artifact)(folder)
    total = sum(path.stat().st_size for path in files)
    stride = max(1, total // limit)
    changed, unnoticed, place = 0, [], 0
    for path in files:
        content = path.read_bytes()
        for offset in range(-place % stride, len(content), stride):
            if not _is_noticed(folder, path, content, offset, content[offset] ^ 1 << changed % 8):
                unnoticed.append(f'{path.name}:{offset}')
            changed += 1
        path.write_bytes(content)
        place += len(content)
    return {'bytes': total, 'changed': changed, 'ways': 1, 'unnoticed': unnoticed}


def every_byte(artifact: Path, folder: Path) -> dict[str, Any]:
    """Flip every bit of every file of an artifact, and set every byte to one more value."""
    files = artifact_of(artifact)(folder)
    changed, unnoticed = 0, list[str]()
    for path in files:
        content = path.read_bytes()
        for offset, byte in enumerate(content):
            unnoticed += [
                f'{path.name}:{offset} to {other}'
                for other in _others(byte, changed)
                if not _is_noticed(folder, path, content, offset, other)
            ]
            changed += 1
        path.write_bytes(content)
    return {'bytes': changed, 'changed': changed, 'ways': WAYS, 'unnoticed': unnoticed}


def _others(byte: int, seed: int) -> Iterator[int]:
    flipped = [byte ^ 1 << bit for bit in range(8)]
    yield from flipped
    yield random.Random(seed).choice(sorted({*range(256)} - {byte, *flipped}))


def _is_noticed(folder: Path, path: Path, content: bytes, offset: int, other: int) -> bool:
    damaged = bytearray(content)
    damaged[offset] = other
    path.write_bytes(damaged)
    try:
        load_artifact(folder)
    except ArtifactError:
        return True
    return False


def _fuzzed(what: str, target: Target, folder: Path, count: int, seed: int) -> dict[str, Any]:
    begin = time.monotonic()
    found = fuzz(target, folder, count, seed)
    print(*(found.findings or [])[:10], sep='\n', flush=True)
    return {
        'file': what,
        'damaged': count,
        'refused': found.refused,
        'read': found.read,
        'findings': len(found.findings or []),
        'memory_growth_mib': found.growth_mib,
        'seconds': round(time.monotonic() - begin, 1),
    }


def rows(arguments: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield a row for each kind of damage."""
    for seed, (what, target) in enumerate(targets(arguments.artifact).items()):
        if not arguments.only or what in arguments.only:
            yield _fuzzed(what, target, folder / str(seed), arguments.count, seed)
    if not arguments.only or SPREAD in arguments.only:
        spread = single_bytes(arguments.artifact, folder / 'spread', arguments.bytes)
        yield {'file': SPREAD, **spread}
    if not arguments.only or EVERY in arguments.only:
        small = small_artifact(arguments.artifact, folder / 'small')
        yield {'file': EVERY, **every_byte(small, folder / 'every')}


def main() -> None:
    """Damage and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--artifact', type=Path, required=True)
    parser.add_argument('--count', type=int, default=10_000)
    parser.add_argument('--bytes', type=int, default=10_000)
    parser.add_argument('--only', nargs='*', default=[])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        for row in rows(arguments, Path(name)):
            print(row, flush=True)
            merge_rows('fuzz', [row], ('file',))


if __name__ == '__main__':
    main()
