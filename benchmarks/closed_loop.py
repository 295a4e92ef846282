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
Run the recorded tables of closed-loop success and put them into the results.

    .venv/bin/python -m benchmarks.closed_loop

Writes ``benchmarks/results/closed_loop.json``; a run that was stopped goes on where it was. The
seeds are those of reports, on which nothing is chosen. ``--only`` runs some of the tables.
"""

import argparse
import json
from pathlib import Path

from benchmarks.record import merge_rows, REPOSITORY
from hbvla_ros.cli.evaluate import DEFAULT_METHODS
from hbvla_ros.cli.evaluate import main as evaluate
from hbvla_ros.evaluate.results import RESULTS, ROW_KEY

CACHE = REPOSITORY / '.cache' / 'closed_loop'
LONGER = 'aloha_handover,aloha_stack'
TUNED = 'hbvla_plus:tune=block'
# Stored bits in this narrow policy, where one plane takes 1.26; 1.42 at OpenVLA-OFT's widths.
PLANES = ':planes=auto:plane_budget=1.55'
METHODS = f'{DEFAULT_METHODS},{TUNED},{TUNED}{PLANES}'
# Four times the observations, of four times the demonstrations: what the long tasks need.
MORE = ':calibration_episodes=512:num_samples=1024'
LONG = f'hbllm_row{MORE},hbvla_plus{MORE},hbvla_plus{PLANES}{MORE},{TUNED}{PLANES}{MORE}'
DISTILLED = f'hbvla_plus:tune=distill{PLANES}{MORE}'
TABLES: dict[str, list[tuple[str, ...]]] = {
    'methods': [
        ('--methods', METHODS, '--episodes', '500'),
        ('--task', LONGER, '--methods', METHODS, '--episodes', '100'),
        ('--task', LONGER, '--methods', f'fp,two_plane,{LONG}', '--episodes', '500'),
        ('--task', 'aloha_stack', '--methods', f'fp,{DISTILLED}', '--episodes', '500'),
    ],
    'components': [('--methods', 'rtn,hbvla,hbvla_plus', '--components', '--episodes', '100')],
    'ablation': [
        ('--task', 'aloha_stack', '--methods', 'fp', '--ablation', '--episodes', '100'),
    ],
    'delays': [('--methods', f'fp,{TUNED}', '--delays', '--episodes', '100')],
}


def main() -> None:
    """Run the tables and record their rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--checkpoint', type=Path, default=REPOSITORY / 'models' / 'aloha_pick')
    parser.add_argument('--workers', default='0')
    parser.add_argument('--only', nargs='*', choices=TABLES, default=list(TABLES))
    arguments = parser.parse_args()
    for name, options in ((n, options) for n in arguments.only for options in TABLES[n]):
        given = ('--checkpoint', arguments.checkpoint, '--workers', arguments.workers)
        status = evaluate([*map(str, given), *options, '--output', str(CACHE)])
        if status:
            raise SystemExit(status)
        found = json.loads((CACHE / RESULTS).read_text(encoding='utf-8'))
        facts = {'checkpoint_sha256': found['about']['checkpoint_sha256']}
        command = found['about']['command'].replace(f'{REPOSITORY}/', '')
        rows = [
            {**row, **facts, 'command': command} for row in found['rows'] if row['table'] == name
        ]
        merge_rows('closed_loop', rows, ROW_KEY)


if __name__ == '__main__':
    main()
