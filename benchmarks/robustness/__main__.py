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
Break a running system in every way that is promised to be harmless, and record what happens.

    .venv/bin/python -m benchmarks.robustness

Writes ``benchmarks/results/robustness.json``; ``benchmarks/robustness/tables.py`` puts it into
``doc/safety.md``. Takes about two minutes. ``--only FAULT ...`` replaces the rows of these faults.
"""

import argparse
import json
import os
from pathlib import Path
import tempfile
from typing import Any

from benchmarks.record import RESULTS, stamp, write
from benchmarks.robustness import clock, core, dds
from benchmarks.robustness.core import Reaction
from benchmarks.robustness.lab import Lab, LabError, shared_memory, sweep


def _try(fault: Any, *arguments: Any) -> tuple[Reaction, str]:
    try:
        return fault(*arguments), ''
    except LabError as error:
        return Reaction(ok=False), str(error)[:300]


def real(domain: int, only: list[str]) -> dict[str, tuple[Reaction, str]]:
    """Do all faults to one laboratory, one after the other."""
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    found = {}
    lab = Lab(domain).begin()
    try:
        for name, fault in dds.FAULTS.items():
            if not only or name in only:
                found[name] = _try(fault, lab)
                print(name, *found[name], flush=True)
        if not only or 'disk_full' in only:
            found['disk_full'] = _disk_full(lab)
            print('disk_full', *found['disk_full'], flush=True)
    finally:
        codes = lab.close()
    print('exit codes', codes)
    if not only or 'clock_jumps_back' in only:
        found['clock_jumps_back'] = _try(clock.clock_jumps_back, domain)
    return found


def _disk_full(lab: Lab) -> tuple[Reaction, str]:
    with tempfile.TemporaryDirectory() as name:
        if not dds.full_disk(Path(name)):
            return Reaction(ok=False), 'not measured: mounting is not allowed here'
        try:
            return _try(dds.disk_full, lab, Path(name))
        finally:
            dds.unmount(Path(name))


def row(name: str, found: dict[str, tuple[Reaction, str]]) -> dict[str, Any]:
    """Return one line of the results."""
    pure = core.FAULTS[name]() if name in core.FAULTS else None
    done, note = found.get(name, (None, 'not done over DDS'))
    return {
        'fault': name,
        'core_ok': None if pure is None else pure.ok,
        'core_reaction_ms': None if pure is None else pure.reaction_ms,
        'core_limit_ms': None if pure is None else pure.limit_ms,
        'dds_ok': None if done is None else done.ok,
        'reaction_ms': None if done is None else done.reaction_ms,
        'limit_ms': None if done is None else done.limit_ms,
        'note': note,
    }


def _replace(rows: list[dict[str, Any]]) -> None:
    """Put some rows into the results of a whole run; each says where it was measured."""
    file = RESULTS / 'robustness.json'
    known = json.loads(file.read_text(encoding='utf-8'))
    names = {row['fault'] for row in rows}
    kept = [row for row in known['rows'] if row['fault'] not in names]
    known['rows'] = [*kept, *({**row, **stamp()} for row in rows)]
    file.write_text(json.dumps(known, indent=1) + '\n', encoding='utf-8')


def main() -> None:
    """Break, judge and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--domain', type=int, default=1 + os.getpid() % 101)
    parser.add_argument('--only', nargs='*', default=[])
    arguments = parser.parse_args()
    before = shared_memory()
    found = real(arguments.domain, arguments.only)
    names = [*core.FAULTS, *(name for name in found if name not in core.FAULTS)]
    rows = [row(name, found) for name in names if not arguments.only or name in found]
    if arguments.only:
        _replace(rows)
    else:
        write('robustness', {'slack_ms': dds.SLACK_MS, 'idle_machine': False, 'rows': rows})
    print('left in shared memory', sweep(before))


if __name__ == '__main__':
    main()
