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
The learning curve of a run as JSON and as a picture.

``python -m benchmarks.train.curve --output FOLDER`` reads ``.cache/train/run`` and writes
``training_curve.json`` and ``training_curve.png``.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.train.recipe import CACHE

NAME = 'training_curve'


def read_curve(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of a run; where a run was continued, the later row of a step counts."""
    lines = (folder / 'curve.jsonl').read_text(encoding='utf-8').splitlines()
    rows = {row['step']: row for row in map(json.loads, lines)}
    return [rows[step] for step in sorted(rows)]


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw losses and closed-loop success over the steps."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.use('Agg')
    figure, (losses, success) = plt.subplots(1, 2, figsize=(10, 4), layout='constrained')
    steps = [row['step'] for row in rows]
    for name in ('action', 'patch', 'place'):
        losses.semilogy(steps, [row[name] for row in rows], label=name)
    losses.set(xlabel='step', title='losses (running mean)')
    losses.legend()
    checks = [row for row in rows if 'success' in row]
    for task in checks[0]['success'] if checks else ():
        rates = [100 * row['success'][task] for row in checks]
        success.plot([row['step'] for row in checks], rates, marker='o', label=task)
    success.set(xlabel='step', ylim=(-2, 102), title='success in closed loop, %')
    success.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--run', type=Path, default=CACHE / 'run')
    parser.add_argument('--output', type=Path, required=True)
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    rows = read_curve(given.run)
    text = json.dumps(rows, indent=1) + '\n'
    (given.output / f'{NAME}.json').write_text(text, encoding='utf-8')
    draw(rows, given.output / f'{NAME}.png')


if __name__ == '__main__':
    main()
