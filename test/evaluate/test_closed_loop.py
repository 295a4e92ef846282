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

"""Episodes in lockstep: what they depend on, how they end, what is drawn."""

from closed_loop_parts import environments, ExpertPolicy, SEED, tiny_bench
from hbvla_ros.evaluate.closed_loop import Answer, Filming, run_episodes
from hbvla_ros.evaluate.execution import ASYNCHRONOUS, Execution
from hbvla_ros.evaluate.network_policy import NetworkPolicy
from hbvla_ros.evaluate.sim.expert import trajectory
from hbvla_ros.evaluate.sim.task import TASKS
from hbvla_ros.evaluate.sim.world import home_state
from hbvla_ros.evaluate.variants import parse_variant
import numpy as np
import pytest

pytestmark = pytest.mark.sim


@pytest.fixture(scope='module')
def pick():
    """Return three environments of the shortest task."""
    envs = environments('aloha_pick', 3)
    yield envs
    for env in envs:
        env.close()


@pytest.fixture(scope='module')
def tiny_model(tmp_path_factory):
    """Return a tiny random policy."""
    bench = tiny_bench(tmp_path_factory.mktemp('tiny'))
    return bench.store.load(parse_variant('fp'), bench.backend)


def _by_seed(policy, envs, seeds, execution=None, filming=None):
    found = run_episodes(policy, envs, seeds, execution or Execution(), filming)
    return {episode.seed: episode for episode in found}


@pytest.mark.parametrize('task', list(TASKS))
def test_the_expert_succeeds_at_every_task(task):
    envs = environments(task, 2)
    found = _by_seed(ExpertPolicy(task), envs, range(SEED, SEED + 3))
    assert sorted(found) == [SEED, SEED + 1, SEED + 2]
    assert all(episode.success for episode in found.values())
    for env in envs:
        env.close()


def test_an_episode_is_what_a_plain_loop_over_the_environment_does(pick):
    env, task = pick[0], TASKS['aloha_pick']
    episode = _by_seed(ExpertPolicy('aloha_pick'), [env], [SEED + 1])[SEED + 1]
    env.reset(seed=SEED + 1)
    plan = trajectory(env.world.state().astype(float), task.plan(env.world, env.scene))
    steps = next(step for step, action in enumerate(plan, start=1) if env.step(action)[2])
    assert (episode.success, episode.steps) == (True, steps)
    assert episode.queries == -(-steps // 8)
    np.testing.assert_array_equal(episode.actions, plan[:steps])


def test_what_runs_beside_an_episode_does_not_matter(pick, tiny_model):
    policy = NetworkPolicy(tiny_model, 3)
    seeds = range(SEED, SEED + 3)
    together = _by_seed(policy, pick[:2], seeds)
    alone = _by_seed(policy, pick[:1], reversed(seeds))
    assert [together[s].success for s in seeds] == [alone[s].success for s in seeds]
    # The batch has one size, so products order their sums alike; 1e-6 is for machines whose
    # products treat rows differently.
    for seed in seeds:
        np.testing.assert_allclose(together[seed].actions, alone[seed].actions, atol=1e-6)


def test_all_free_environments_ask_together_until_no_seed_is_left(pick):
    policy = ExpertPolicy('aloha_pick')
    found = _by_seed(policy, pick, range(SEED, SEED + 5))
    assert policy.asked[0] == 3
    assert sum(policy.asked) == sum(episode.queries for episode in found.values())
    assert policy.asked == sorted(policy.asked, reverse=True)


class _Still:
    """Commands the home pose, and once something that is not finite."""

    chunk_size = 8

    def answer(self, questions):
        pose = np.tile(home_state(), (8, 1))
        return [Answer(pose * (np.nan if q.step == 8 else 1.0), 0.5) for q in questions]


def test_an_episode_without_success_ends_at_its_limit(pick):
    episode = _by_seed(_Still(), pick[:1], [SEED])[SEED]
    assert not episode.success
    assert (episode.steps, episode.queries, episode.rejected) == (72, 9, 1)
    assert episode.action_error == 0.5
    row = episode.to_json()
    assert (row['jerk'], row['flips'], row['action_error']) == (0, 0, 0.5)
    longer = _by_seed(_Still(), pick[:1], [SEED], Execution(time_factor=2))[SEED]
    assert longer.steps == 144


def test_an_error_that_was_not_measured_is_not_written_as_a_number(pick):
    row = _by_seed(ExpertPolicy('aloha_pick'), pick[:1], [SEED])[SEED].to_json()
    assert row['action_error'] is None


def test_a_late_robot_stands_still_first(pick):
    late = Execution(delay_steps=3, time_factor=2)
    episode = _by_seed(ExpertPolicy('aloha_pick'), pick[:1], [SEED], late)[SEED]
    assert (episode.actions[:3] == home_state()).all()
    assert (episode.actions[3] != home_state()).any()


def test_an_asynchronous_expert_succeeds_in_spite_of_a_delay(pick):
    # Its plan counts from the begin of the episode, as rows by age do; only the begin is missed.
    late = Execution(delay_steps=2, mode=ASYNCHRONOUS)
    found = _by_seed(ExpertPolicy('aloha_pick'), pick, range(SEED, SEED + 3), late)
    assert all(episode.success for episode in found.values())


def test_pictures_are_kept_of_the_episodes_that_were_asked_for(pick):
    filming = Filming(ends=(SEED,), whole=(SEED + 1,))
    seeds = (SEED, SEED + 1, SEED + 2)
    found = _by_seed(ExpertPolicy('aloha_pick'), pick, seeds, filming=filming)
    assert [len(found[seed].frames) for seed in seeds] == [2, found[SEED + 1].steps + 1, 0]
    first, last = found[SEED].frames
    assert first.shape == (96, 96, 3)
    assert (first != last).any()
