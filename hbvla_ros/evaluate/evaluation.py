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
Score policies in closed loop: tables of trials in, episodes on disk and rows of numbers out.

Every policy runs the same seeds, so that successes can be compared episode by episode. What is
finished is never run again: the same command goes on where it was stopped.
"""

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hbvla_ros.core.errors import ConfigError
from hbvla_ros.evaluate.closed_loop import Filming
from hbvla_ros.evaluate.episode_files import EpisodeFiles
from hbvla_ros.evaluate.execution import ASYNCHRONOUS, BLOCKING, Execution
from hbvla_ros.evaluate.processes import do_pieces, Piece
from hbvla_ros.evaluate.scores import score_row
from hbvla_ros.evaluate.sim.task import TASKS
from hbvla_ros.evaluate.simulated_recording import record_demonstrations
from hbvla_ros.evaluate.trials import batches, Bench, Runner, Trial
from hbvla_ros.evaluate.variants import ARTIFACT, FP, parse_variant, Variant

REPORT_SEED = 910_000  # choices are made on seeds from 900000 on, training stays below 500000
DELAYS = (0, 1, 2, 4, 8)
METHODS_TABLE, COMPONENTS_TABLE = 'methods', 'components'
ABLATION_TABLE, DELAYS_TABLE = 'ablation', 'delays'
_DELAY_LIMIT = 2  # times the task's limit, so that a blocking robot has time for its movements
_PIECE = 48  # episodes


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """
    What to score.

    ``tables`` names lists of trials; a trial may be in several. ``first_seed`` and the next
    ``episodes - 1`` are run. The first ``shown`` of them leave their first and last picture, the
    first one a film.

    :raises ConfigError: for a value out of range
    """

    bench: Bench
    tables: Mapping[str, Sequence[Trial]]
    episodes: int = 500
    first_seed: int = REPORT_SEED
    workers: int = 1
    shown: int = 8

    def __post_init__(self) -> None:
        if min(self.episodes, self.workers, self.bench.lockstep) < 1 or self.first_seed < 0:
            raise ConfigError(
                f'episodes, workers and lockstep must be at least 1 and the seed at least 0, got '
                f'{self.episodes}, {self.workers}, {self.bench.lockstep} and {self.first_seed}'
            )
        variants = {trial.variant for trials in self.tables.values() for trial in trials}
        labels = Counter(variant.label for variant in variants)
        twice = sorted(label for label, count in labels.items() if count > 1)
        if twice:
            raise ConfigError(f'different policies are called {twice}; rename their folders')

    @property
    def seeds(self) -> range:
        """Return the seeds of every trial."""
        return range(self.first_seed, self.first_seed + self.episodes)

    @property
    def trials(self) -> list[Trial]:
        """Return all trials once, and full precision with each that is compared with it."""
        named = [trial for table in self.tables.values() for trial in table]
        found: dict[Trial, None] = {}
        for trial in named:
            if self.bench.store.checkpoint is not None:
                found[full_precision_of(trial)] = None
            found[trial] = None
        return list(found)

    @property
    def filming(self) -> Filming:
        """Return which episodes are drawn."""
        ends = frozenset(self.seeds[: self.shown])
        return Filming(ends=ends, whole=frozenset(self.seeds[: min(1, self.shown)]))


@dataclass(frozen=True, slots=True)
class EvaluationProgress:
    """How many episodes are done, those of earlier runs included, and what just happened."""

    done: int
    total: int
    text: str


def evaluate(wanted: Evaluation) -> Generator[EvaluationProgress, None, None]:
    """
    Run what is missing.

    :param wanted: what to score
    :return: progress; closing it early, as Ctrl-C does, keeps every finished episode
    :raises HbvlaError: with what is wrong and what to do
    """
    files, store = EpisodeFiles(wanted.bench), wanted.bench.store
    missing = _missing(wanted, files)
    total = len(_by_name(wanted)) * wanted.episodes
    done = total - sum(map(len, missing.values()))
    yield EvaluationProgress(done, total, 'begins')
    _check(wanted, missing)
    unmade = {store.name(t.variant): t.variant for t in missing if not store.is_made(t.variant)}
    for text in _record(wanted, list(unmade.values())):
        yield EvaluationProgress(done, total, text)

    def keep(piece: Piece, scored: list[Any]) -> None:
        nonlocal done
        if not isinstance(piece, Variant):
            files.append(piece.trial, scored)
            done += len(scored)

    pieces: list[Piece] = [*unmade.values(), *_pieces(wanted, missing)]
    for piece, text in do_pieces(pieces, wanted.bench, wanted.workers, keep):
        yield EvaluationProgress(done, total, _told(piece, text))


def collect(wanted: Evaluation) -> list[dict[str, Any]]:
    """
    Return one row per table and trial of which there are episodes.

    :param wanted: what was scored; episodes beyond its seeds do not count
    """
    files, store = EpisodeFiles(wanted.bench), wanted.bench.store
    about = {
        'backend': wanted.bench.backend,
        'lockstep': wanted.bench.lockstep,
        'first_seed': wanted.first_seed,
    }
    rows = []
    for table, trials in wanted.tables.items():
        for trial in trials:
            found = _of(wanted, files.read(trial)) if store.is_made(trial.variant) else {}
            if not found:
                continue
            reference = None
            if store.checkpoint is not None:
                reference = _of(wanted, files.read(full_precision_of(trial)))
            row = score_row(trial, store.facts(trial.variant), found, reference)
            rows.append({'table': table, **row, **about})
    return rows


def method_trials(
    tasks: Sequence[str], variants: Sequence[Variant], execution: Execution | None = None
) -> list[Trial]:
    """
    Return every variant on every task.

    :param tasks: names of ``TASKS``
    :param variants: the policies
    :param execution: None for whole chunks without delay
    :raises ConfigError: for an unknown task, listing the known ones
    """
    names = [TASKS[task].name for task in tasks]
    how = execution or Execution()
    return [Trial(task=name, variant=one, execution=how) for name in names for one in variants]


def delay_trials(trials: Sequence[Trial]) -> list[Trial]:
    """Return every trial with every delay, blocking and asynchronous."""
    ways = [
        (delay, mode)
        for mode in (BLOCKING, ASYNCHRONOUS)
        for delay in DELAYS
        if delay or mode == BLOCKING  # without delay both are the same
    ]
    return [
        replace(trial, execution=_late(trial.execution, delay, mode))
        for trial in trials
        for delay, mode in ways
    ]


def _late(execution: Execution, delay: int, mode: str) -> Execution:
    return replace(execution, delay_steps=delay, mode=mode, time_factor=_DELAY_LIMIT)


def full_precision_of(trial: Trial) -> Trial:
    """Return the trial that another one is compared with: same task and execution."""
    return replace(trial, variant=parse_variant(FP))


def _of(wanted: Evaluation, rows: Mapping[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
    return {seed: rows[seed] for seed in wanted.seeds if seed in rows}


def _by_name(wanted: Evaluation) -> dict[tuple[str, str, Execution], Trial]:
    """Return the trials that differ in more than the wording of their variant."""
    name = wanted.bench.store.name
    return {(t.task, name(t.variant), t.execution): t for t in reversed(wanted.trials)}


def _missing(wanted: Evaluation, files: EpisodeFiles) -> dict[Trial, list[int]]:
    missing = {}
    for trial in reversed(_by_name(wanted).values()):
        known = files.read(trial)
        seeds = [seed for seed in wanted.seeds if seed not in known]
        if seeds:
            missing[trial] = seeds
    return missing


def _check(wanted: Evaluation, trials: Iterable[Trial]) -> None:
    """Refuse what does not fit the robot or the chunks before hours are spent."""
    runner = Runner(wanted.bench)
    for trial in trials:
        if trial.variant.method in (FP, ARTIFACT):
            trial.execution.interval(runner.policy(trial.variant).chunk_size)


def _record(wanted: Evaluation, variants: Sequence[Variant]) -> Iterator[str]:
    """Record the demonstrations that variants are calibrated with."""
    store = wanted.bench.store
    for number in sorted({store.episodes(variant) for variant in variants} - {0}):
        folder = store.output / 'calibration' / str(number)
        for done in record_demonstrations(folder, wanted.bench.robot, number):
            yield f'demonstration {done} of {number} to calibrate with'


def _pieces(wanted: Evaluation, missing: Mapping[Trial, list[int]]) -> Iterator[Piece]:
    for trial, seeds in missing.items():
        size = min(_PIECE, max(wanted.bench.lockstep, -(-len(seeds) // wanted.workers)))
        yield from batches(trial, seeds, size, wanted.filming)


def _told(piece: Piece, text: str) -> str:
    if isinstance(piece, Variant):
        return f'making {piece.label}: {text}'
    return f'{piece.trial.task}: {piece.trial.variant.label}'
