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

"""A whole evaluation on a tiny policy: what runs, what is kept, what the rows say."""

from dataclasses import replace
from itertools import product
import json

from closed_loop_parts import environments, SEED, tiny_bench
from hbvla_ros.core.errors import ConfigError
from hbvla_ros.evaluate.episode_files import EpisodeFiles
from hbvla_ros.evaluate.evaluation import (
    collect,
    delay_trials,
    evaluate,
    Evaluation,
    method_trials,
)
from hbvla_ros.evaluate.execution import Execution
from hbvla_ros.evaluate.results import merge, write_results
from hbvla_ros.evaluate.scores import score_row
from hbvla_ros.evaluate.sim.world import AlohaWorld
from hbvla_ros.evaluate.trials import Trial
from hbvla_ros.evaluate.variants import artifact_variant, parse_variants
from html_page import read_page
import pytest

pytestmark = pytest.mark.sim
FULL = {'recipe': {'method': 'fp'}, 'bits': dict.fromkeys(('sign', 'stored', 'stored_at_oft'), 16)}


@pytest.fixture(scope='module')
def drawing():
    """Skip where nothing can draw."""
    for env in environments('aloha_pick', 1):
        env.close()


def _wanted(folder, episodes=3, **changes):
    trials = method_trials(['aloha_pick'], parse_variants(['fp', 'rtn']))
    settings = {'episodes': episodes, 'first_seed': SEED, 'shown': 2, **changes}
    return Evaluation(bench=tiny_bench(folder), tables={'methods': trials}, **settings)


def _episodes(wanted):
    """Return what is on disk, without the time that it took."""
    files = EpisodeFiles(wanted.bench)
    found = {trial.variant.label: files.read(trial) for trial in wanted.trials}
    for row in (row for rows in found.values() for row in rows.values()):
        row.pop('cpu_s')
    return found


@pytest.fixture(scope='module')
def finished(tmp_path_factory, drawing):
    """Return an evaluation that ran to its end without a stop."""
    wanted = _wanted(tmp_path_factory.mktemp('whole'))
    steps = list(evaluate(wanted))
    assert (steps[0].done, steps[-1].done, steps[-1].total) == (0, 6, 6)
    return wanted


def test_rows_tell_what_was_run(finished):
    full, rtn = collect(finished)
    assert (full['method'], full['retention'], full['bits_stored']) == ('fp', None, 16)
    assert (full['action_mae'], full['jerk_ratio']) == (0, pytest.approx(1))
    assert (rtn['label'], rtn['episodes'], rtn['seeds']) == ('rtn', 3, [SEED, SEED + 2])
    assert rtn['bits_sign'] == 1
    assert rtn['action_mae'] > 0
    assert rtn['ci_low'] <= rtn['success'] <= rtn['ci_high']
    assert rtn['components'] == ['vision', 'projector', 'language']
    assert (rtn['delay'], rtn['mode'], rtn['target'], rtn['tune']) == (
        0, 'blocking', 'plain', 'none',
    )  # fmt: skip


def test_what_is_finished_is_not_run_again(finished, monkeypatch):
    monkeypatch.setattr(AlohaWorld, 'step', None)
    assert [step.done for step in evaluate(finished)] == [6]


def test_a_stop_leaves_whole_episodes_and_the_next_run_does_the_others(
    finished, tmp_path, monkeypatch
):
    wanted = _wanted(tmp_path)
    steps = evaluate(wanted)
    while next(steps).done < 4:
        pass
    steps.close()
    known = _episodes(wanted)
    assert [len(rows) for rows in known.values()] == [3, 1]
    path = next((tmp_path / 'out' / 'episodes' / 'aloha_pick').glob('rtn-*'))
    with path.open('a') as file:
        file.write('{"seed": 900')  # the disk was full, or the machine was switched off
    resets = []
    monkeypatch.setattr(
        AlohaWorld, 'reset', lambda *a, r=AlohaWorld.reset: resets.append(1) or r(*a)
    )
    assert next(iter(list(evaluate(wanted)))).done == 4
    assert len(resets) == 2
    assert _episodes(wanted) == _episodes(finished)
    assert path.read_text().count('\n') == 3


@pytest.mark.slow
def test_processes_find_the_same_as_this_one(finished, tmp_path):
    wanted = _wanted(tmp_path, workers=2)
    assert list(evaluate(wanted))[-1].done == 6
    spread, here = _episodes(wanted), _episodes(finished)
    for label, seed in product(('fp', 'rtn'), finished.seeds):
        one, other = spread[label][seed], here[label][seed]
        assert one['success'] == other['success']
        # Sums have one order as long as batches have one size.
        assert one == pytest.approx(other, abs=1e-5)


def test_an_artifact_drives_as_well_packed_as_dense(finished, tmp_path):
    trials = method_trials(['aloha_pick'], parse_variants(['rtn']))
    bench = replace(finished.bench, backend='packed')
    packed = replace(finished, bench=bench, tables={'methods': trials}, episodes=2)
    assert list(evaluate(packed))
    dense, bits = EpisodeFiles(finished.bench).read(trials[0]), EpisodeFiles(bench).read(trials[0])
    for seed in packed.seeds:
        assert bits[seed]['success'] == dense[seed]['success']
        assert bits[seed]['action_error'] == pytest.approx(dense[seed]['action_error'], rel=0.05)


def test_the_page_shows_every_number_and_the_first_episodes(finished):
    rows = write_results(finished, 'hbvla_eval --of-a-test')
    folder = finished.bench.store.output
    found = json.loads((folder / 'results.json').read_text())
    assert found['rows'] == rows
    assert found['about']['command'] == 'hbvla_eval --of-a-test'
    assert len(found['about']['checkpoint_sha256']) == 64
    page = read_page((folder / 'index.html').read_text())
    for row in rows:
        assert row['label'] in page.text
        assert {row['success'], row['action_mae'], row['bits_stored_at_oft']} <= {*page.numbers}
    assert len(page.pictures) == 3  # how episodes begin, and how they end with each policy
    assert sum(source.startswith('data:image/gif') for source in page.fetched) == 2


def test_rows_of_earlier_evaluations_stay_unless_they_tell_of_fewer_episodes(finished):
    [row] = [row for row in collect(finished) if row['label'] == 'rtn']
    longer, other = {**row, 'episodes': 9}, {**row, 'label': 'hbvla'}
    newer = {**row, 'success': 0.5}
    assert merge([longer, other], [newer]) == [longer, other]
    assert merge([row, other], [newer]) == [newer, other]


def test_results_of_something_else_are_not_overwritten(finished, tmp_path):
    wanted = _wanted(tmp_path)
    folder = wanted.bench.store.output
    folder.mkdir()
    (folder / 'results.json').write_text('[]')
    with pytest.raises(ConfigError, match='another output'):
        write_results(wanted, '')
    assert (folder / 'results.json').read_text() == '[]'


def test_delays_are_tried_blocking_and_asynchronous_in_twice_the_time():
    [trial] = method_trials(['aloha_pick'], parse_variants(['fp']))
    found = [late.execution for late in delay_trials([trial])]
    ways = [(how.mode, how.delay_steps) for how in found]
    assert ways == [('blocking', delay) for delay in (0, 1, 2, 4, 8)] + [
        ('asynchronous', delay) for delay in (1, 2, 4, 8)
    ]
    assert {how.time_factor for how in found} == {2}


def test_every_trial_is_compared_with_full_precision_of_its_own_delay(tmp_path):
    [trial] = method_trials(['aloha_pick'], parse_variants(['rtn']), Execution(delay_steps=4))
    wanted = Evaluation(bench=tiny_bench(tmp_path), tables={'delays': [trial]})
    assert [(t.variant.label, t.execution.delay_steps) for t in wanted.trials] == [
        ('fp', 4), ('rtn', 4),
    ]  # fmt: skip


def _row(success, **changes):
    return {
        'success': success, 'steps': 40, 'queries': 5, 'rejected': 0, 'action_error': 0.5,
        'jerk': 0.2, 'flips': 1, **changes,
    }  # fmt: skip


def test_means_weigh_by_what_they_are_means_of():
    [variant] = parse_variants(['rtn'])
    facts = {'recipe': {'method': 'rtn'}, 'bits': FULL['bits'], 'calibration': None}
    ours = {1: _row(True), 2: _row(False, queries=15, action_error=0.1, steps=120, jerk=0.4)}
    theirs = {1: _row(True), 2: _row(True, steps=20), 3: _row(True)}
    row = score_row(Trial(task='t', variant=variant), facts, ours, theirs)
    assert row['action_mae'] == pytest.approx((5 * 0.5 + 15 * 0.1) / 20)
    assert row['jerk'] == pytest.approx((40 * 0.2 + 120 * 0.4) / 160)
    assert row['jerk_ratio'] == pytest.approx(0.35 / 0.2)
    assert (row['retention'], row['lost'], row['gained']) == (0.5, 1, 0)
    assert row['seconds_to_success'] == pytest.approx(2)
    assert row['gripper_flips'] == 1


def test_two_policies_of_one_name_are_refused(tmp_path):
    variants = [artifact_variant(tmp_path / folder / 'artifact') for folder in ('a', 'b')]
    trials = method_trials(['aloha_pick'], variants)
    with pytest.raises(ConfigError, match='called'):
        Evaluation(bench=tiny_bench(tmp_path), tables={'methods': trials})


def test_an_unknown_task_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match='aloha_pick'):
        method_trials(['aloha_pour'], [])


@pytest.mark.parametrize('wrong', [{'episodes': 0}, {'workers': 0}, {'first_seed': -1}])
def test_numbers_that_make_no_sense_are_refused(tmp_path, wrong):
    with pytest.raises(ConfigError, match='at least'):
        _wanted(tmp_path, **wrong)
