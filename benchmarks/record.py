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

"""What every results file says about itself: commit, date, machine."""

from datetime import datetime, timezone
from importlib.metadata import version
import json
import os
from pathlib import Path
import platform
import re
import subprocess
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = REPOSITORY / 'benchmarks' / 'results'
# What benchmarks write themselves says nothing about the code that was measured.
WRITTEN = (':(exclude)benchmarks/results', ':(exclude)doc')


def machine() -> dict[str, Any]:
    """Return what a reader needs to judge a time: processor, cores, versions."""
    cpu = Path('/proc/cpuinfo').read_text(encoding='utf-8')
    found = re.search(r'^model name\s*: (.+)$', cpu, re.MULTILINE)
    return {
        'cpu': found[1] if found else platform.machine(),
        'cores': os.cpu_count(),
        'python': platform.python_version(),
        'torch': version('torch'),
        'system': platform.platform(),
    }


def commit() -> str:
    """Return the commit that was measured, marked if the code had changes."""
    name = _git('rev-parse', '--short=12', 'HEAD')
    return f'{name}-dirty' if _git('status', '--porcelain', '--', '.', *WRITTEN) else name


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ['git', *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def stamp() -> dict[str, Any]:
    """Return what every record begins with."""
    return {
        'commit': commit(),
        'date': datetime.now(timezone.utc).isoformat(timespec='seconds'),
        'machine': machine(),
    }


def write(name: str, measured: dict[str, Any]) -> None:
    """Write ``benchmarks/results/<name>.json`` and print it."""
    text = json.dumps({**stamp(), **measured}, indent=1) + '\n'
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f'{name}.json').write_text(text, encoding='utf-8')
    print(text)


def merge_rows(name: str, rows: list[dict[str, Any]], key: tuple[str, ...]) -> None:
    """
    Put rows into ``benchmarks/results/<name>.json``, a list; each says where it was measured.

    :param rows: plain values
    :param key: entries that identify a row; an older one of equal key is replaced
    """
    file = RESULTS / f'{name}.json'
    known = json.loads(file.read_text(encoding='utf-8')) if file.exists() else []
    for row in rows:
        identity = [row.get(entry) for entry in key]
        known = [old for old in known if [old.get(entry) for entry in key] != identity]
        known.append({**row, **stamp()})
    RESULTS.mkdir(exist_ok=True)
    lines = ',\n'.join(json.dumps(row) for row in known)
    file.write_text(f'[\n{lines}\n]\n', encoding='utf-8')
