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
Run the demonstration several times and record what it measured.

    ./scripts/demo >/dev/null && .venv/bin/python benchmarks/demo.py --runs 3

Writes ``benchmarks/results/demo.json`` with commit, machine and date.
"""

import argparse
from datetime import datetime, timezone
from importlib.metadata import version
import json
import os
from pathlib import Path
import platform
import re
import statistics
import subprocess
from typing import Any

from hbvla_ros.bringup.demo import DemoConfig, run_demo

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = REPOSITORY / 'benchmarks' / 'results'


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
    """Return the commit that was measured, marked if the tree had changes."""
    command = ['git', 'describe', '--always', '--dirty', '--abbrev=12']
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def spread(values: list[float]) -> dict[str, float]:
    """Return minimum, median and maximum."""
    return {'min': min(values), 'median': statistics.median(values), 'max': max(values)}


def main() -> None:
    """Run and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--runs', type=int, default=3)
    runs = parser.parse_args().runs
    config = DemoConfig(REPOSITORY / '.cache' / 'demo', None, None, keep_running=False)
    summaries = [run_demo(config) for _ in range(runs)]
    problems = [problem for summary in summaries for problem in summary['problems']]
    if problems:
        raise SystemExit(f'nothing recorded: {problems}')
    latency = {
        f'{what}_{which}': spread([s['latency_ms'][what][which] for s in summaries])
        for what in ('inference', 'observation_to_command')
        for which in ('p50_ms', 'p99_ms')
    }
    record = {
        'commit': commit(),
        'date': datetime.now(timezone.utc).isoformat(timespec='seconds'),
        'machine': machine(),
        'runs': runs,
        'latency': latency,
        'chunks': spread([s['chunks'] for s in summaries]),
        'commands': spread([s['commands'] for s in summaries]),
        'unexplained_drops': spread([s['unexplained_drops'] for s in summaries]),
        'wall_s': spread([s['wall_s'] for s in summaries]),
        'peak_rss_mib': {
            name: spread([s['peak_rss_mib'][name] for s in summaries])
            for name in summaries[0]['peak_rss_mib']
        },
        'bits_sign': summaries[0]['bits_sign'],
        'bits_stored': summaries[0]['bits_stored'],
        'artifact_bytes': summaries[0]['artifact_bytes'],
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / 'demo.json').write_text(json.dumps(record, indent=1) + '\n', encoding='utf-8')
    print(json.dumps(record, indent=1))


if __name__ == '__main__':
    main()
