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

"""Episodes of one trial as a row of plain numbers, compared with full precision."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
import math
from typing import Any

from hbvla_ros.evaluate.retention import paired, wilson_interval
from hbvla_ros.evaluate.sim.world import PERIOD_S
from hbvla_ros.evaluate.trials import Trial
from hbvla_ros.evaluate.variants import FP

Rows = Mapping[int, Mapping[str, Any]]
_CHOICES = ('target', 'target_factor', 'tune', 'planes', 'plane_budget', 'protect')


def score_row(
    trial: Trial, facts: Mapping[str, Any], episodes: Rows, reference: Rows | None
) -> dict[str, Any]:
    """
    Return what is known of a trial.

    Numbers of the comparison are None without a reference, and where they make no sense.
    ``retention`` and ``jerk_ratio`` are on the seeds that both have; ``action_mae`` is the mean
    over queries in normalised units, ``seconds_to_success`` over successes, ``gripper_flips`` per
    episode.

    :param trial: the trial
    :param facts: of its variant, from :meth:`VariantStore.facts`
    :param episodes: at least one, by seed, as :meth:`Episode.to_json` gives them
    :param reference: those of full precision with equal execution
    """
    rows = list(episodes.values())
    successes = sum(row['success'] for row in rows)
    low, high = wilson_interval(successes, len(rows))
    row = {
        **_identity(trial, facts),
        'seeds': [min(episodes), max(episodes)],
        'episodes': len(rows),
        'successes': successes,
        'success': successes / len(rows),
        'ci_low': low,
        'ci_high': high,
        **_compared(episodes, reference),
        'action_mae': _weighted(rows, 'action_error', 'queries'),
        'jerk': _weighted(rows, 'jerk', 'steps'),
        'gripper_flips': sum(row['flips'] for row in rows) / len(rows),
        'seconds_to_success': _seconds_to_success(rows),
        'rejected': sum(row['rejected'] for row in rows),
        'cpu_s': round(sum(row.get('cpu_s', 0.0) for row in rows), 2),
    }
    if trial.variant.method == FP:
        unmeasured = dict.fromkeys(('retention_low', 'retention_high', 'p_value'))
        row |= {**unmeasured, 'action_mae': 0.0}
    return row


def _identity(trial: Trial, facts: Mapping[str, Any]) -> dict[str, Any]:
    recipe, bits, how = facts['recipe'], facts['bits'], trial.execution
    return {
        'task': trial.task,
        'method': recipe['method'],
        'label': trial.variant.label,
        'components': list(recipe.get('components', ())),
        'bits_sign': bits['sign'],
        'bits_stored': bits['stored'],
        'bits_stored_at_oft': bits['stored_at_oft'],
        **{name: recipe.get(name) for name in _CHOICES},
        'settings': recipe.get('config'),
        'calibration': facts['calibration'],
        'delay': how.delay_steps,
        'mode': how.mode,
        'execute_steps': how.execute_steps,
        'time_factor': how.time_factor,
    }


def _compared(episodes: Rows, reference: Rows | None) -> dict[str, Any]:
    names = ('retention', 'retention_low', 'retention_high', 'lost', 'gained', 'p_value')
    seeds = episodes.keys() & (reference or {}).keys()
    if not reference or not seeds:
        return dict.fromkeys((*names, 'jerk_ratio'))
    theirs, ours = ({seed: rows[seed] for seed in seeds} for rows in (reference, episodes))
    pair = asdict(paired(_outcomes(theirs), _outcomes(ours)))
    pair |= {'retention_low': pair['low'], 'retention_high': pair['high']}
    jerks = [_weighted(list(rows.values()), 'jerk', 'steps') for rows in (ours, theirs)]
    ratio = jerks[0] / jerks[1] if jerks[0] is not None and jerks[1] else None
    return {**{name: _number(pair[name]) for name in names}, 'jerk_ratio': ratio}


def _outcomes(rows: Rows) -> dict[int, bool]:
    return {seed: bool(row['success']) for seed, row in rows.items()}


def _weighted(rows: Sequence[Mapping[str, Any]], name: str, weight: str) -> float | None:
    """Return the mean of what was measured, each row weighing as its count."""
    known = [row for row in rows if row[name] is not None]
    total = sum(row[weight] for row in known)
    return sum(row[name] * row[weight] for row in known) / total if total else None


def _seconds_to_success(rows: Sequence[Mapping[str, Any]]) -> float | None:
    steps = [row['steps'] for row in rows if row['success']]
    return PERIOD_S * sum(steps) / len(steps) if steps else None


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
