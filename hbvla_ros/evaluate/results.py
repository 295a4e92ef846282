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
Write what an evaluation found: ``results.json`` and ``index.html`` in its folder.

Rows of earlier evaluations of the same checkpoint in the same folder stay; those of the same trial
are replaced, unless they tell of more episodes.
"""

from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
import json
from typing import Any

from hbvla_ros import __version__
from hbvla_ros.core.errors import ConfigError
from hbvla_ros.core.page import write_whole
from hbvla_ros.evaluate.contact_sheet import shown_episodes
from hbvla_ros.evaluate.evaluation import collect, Evaluation
from hbvla_ros.evaluate.score_page import score_page
from hbvla_ros.evaluate.sim.world import PERIOD_S

RESULTS, PAGE = 'results.json', 'index.html'
ROW_KEY = (
    'task', 'table', 'label', 'delay', 'mode', 'execute_steps', 'time_factor', 'backend',
    'first_seed',
)  # fmt: skip
_PACKAGES = ('torch', 'numpy', 'mujoco', 'gym-aloha')


def write_results(wanted: Evaluation, command: str) -> list[dict[str, Any]]:
    """
    Write rows and page of what is finished so far.

    :param wanted: what was scored
    :param command: that repeats it
    :return: the rows of this evaluation
    :raises ConfigError: if an earlier ``results.json`` can't be read
    :raises OSError: if a file can't be written
    """
    folder, store = wanted.bench.store.output, wanted.bench.store
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        'command': command,
        'checkpoint': str(store.checkpoint or 'none'),
        'checkpoint_sha256': store.source,
        'control_period_s': PERIOD_S,
        'hbvla_ros': __version__,
        **{name: _version(name) for name in _PACKAGES},
    }
    rows = collect(wanted)
    whole = merge(_earlier(wanted), rows)
    text = json.dumps({'about': about, 'rows': whole}, indent=1) + '\n'
    write_whole(folder / RESULTS, text)
    write_whole(folder / PAGE, score_page(whole, about, shown_episodes(wanted)))
    return rows


def merge(
    earlier: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return all rows in order; of equal ``ROW_KEY`` the one of more episodes, else the newer."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in (*earlier, *rows):
        known = found.get(_key(row), row)
        found[_key(row)] = max(row, known, key=lambda one: one['episodes'])
    order = {name: place for place, name in enumerate(dict.fromkeys(_tables(found.values())))}
    return sorted(found.values(), key=lambda row: order[row['task'], row['table']])


def _tables(rows: Iterable[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(row['task'], row['table']) for row in rows]


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ROW_KEY)


def _earlier(wanted: Evaluation) -> list[dict[str, Any]]:
    path = wanted.bench.store.output / RESULTS
    if not path.exists():
        return []
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
        rows: list[dict[str, Any]] = found['rows']
        same = found['about']['checkpoint_sha256'] == wanted.bench.store.source
        for row in rows:
            _key(row), row['episodes']
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f'{path} is not what an evaluation writes ({error!r}); remove it or choose another '
            'output folder'
        ) from error
    return rows if same else []


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return 'not installed'
