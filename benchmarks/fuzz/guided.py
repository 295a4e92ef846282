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
Damage files with the coverage of their readers as a guide, where ``atheris`` is installed.

    pip install --target FOLDER atheris==3.0.0
    PYTHONPATH=FOLDER .venv/bin/python -m benchmarks.fuzz.guided --artifact FOLDER --seconds 60

No requirement of this repository names ``atheris``: it is for x86 and a few versions of Python.
Adds rows to ``benchmarks/results/fuzz.json``. Each kind is fuzzed in a process of its own, which
ends with the first exception that is not ours.
"""

import argparse
import os
from pathlib import Path
import re
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks.record import merge_rows, REPOSITORY
from hbvla_ros.core.errors import HbvlaError

KINDS = ('manifest', 'robot file', 'HDF5 episode', 'bag, mcap')
WATCHED = ['hbvla_ros', 'yaml', 'rosbags', 'mcap', 'h5py']
_DONE = re.compile(r'^#(\d+)\s+DONE\s+cov: (\d+)', re.MULTILINE)
_LIMIT_MIB = 2048  # beyond what the imports take; a reader that needs more is a finding


def fuzz_here(kind: str, artifact: Path, folder: Path, seconds: int) -> None:
    """
    Fuzz one kind until the time is over; never returns.

    :param kind: one of ``KINDS``
    :param artifact: a small one
    :param folder: empty, for the files
    :param seconds: how long
    """
    import atheris

    with atheris.instrument_imports(include=WATCHED):
        from benchmarks.fuzz.targets import targets

        target = targets(artifact)[kind]
        valid, corpus = folder / 'valid', folder / 'corpus'
        valid.mkdir()
        corpus.mkdir()
        path = max(target.prepare(valid), key=lambda file: file.stat().st_size)
        target.read(valid)  # readers import what they need here
    (corpus / 'valid').write_bytes(path.read_bytes())

    def read(content: bytes) -> None:
        path.write_bytes(content)
        try:
            target.read(valid)
        except HbvlaError:
            return

    limits = [f'-max_total_time={seconds}', f'-rss_limit_mb={_LIMIT_MIB}', '-timeout=20']
    largest = f'-max_len={2 * path.stat().st_size}'
    atheris.Setup([sys.argv[0], *limits, largest, str(corpus)], read)
    atheris.Fuzz()


def guided(kind: str, artifact: Path, seconds: int) -> dict[str, Any]:
    """Fuzz one kind in a process of its own and return a row of the results."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                *(sys.executable, '-m', 'benchmarks.fuzz.guided', '--artifact', str(artifact)),
                *('--seconds', str(seconds), '--only', kind, '--folder', folder),
            ],
            cwd=folder,  # where an input that was too much is left
            env={**os.environ, 'PYTHONPATH': f'{REPOSITORY}:{os.environ.get("PYTHONPATH", "")}'},
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    told = _DONE.search(done.stderr)
    findings = 0 if done.returncode == 0 and told else 1
    if findings:
        print(done.stderr[-3000:])
    return {
        'file': f'guided by coverage: {kind}',
        'inputs': int(told[1]) if told else 0,
        'covered': int(told[2]) if told else 0,
        'findings': findings,
        'seconds': round(time.monotonic() - begin, 1),
    }


def main() -> None:
    """Fuzz and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--artifact', type=Path, required=True)
    parser.add_argument('--seconds', type=int, default=60, help='for each kind')
    parser.add_argument('--only', nargs='*', choices=KINDS, default=KINDS)
    parser.add_argument('--folder', type=Path, help='fuzz in this process, in this folder')
    given = parser.parse_args()
    if given.folder:
        fuzz_here(given.only[0], given.artifact, given.folder, given.seconds)
    for kind in given.only:
        row = guided(kind, given.artifact.resolve(), given.seconds)
        print(row, flush=True)
        merge_rows('fuzz', [row], ('file',))


if __name__ == '__main__':
    main()
