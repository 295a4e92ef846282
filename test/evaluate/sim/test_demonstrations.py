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

"""Demonstrations: what is recorded, and that the label is the undisturbed plan."""

from hbvla_ros.core.errors import ConfigError
from hbvla_ros.evaluate.sim.demonstrations import (
    begin,
    demonstrations,
    Disturbance,
    perform,
    place_in_hand,
    place_on_plan,
)
from hbvla_ros.evaluate.sim.expert import trajectory
from hbvla_ros.evaluate.sim.task import TASKS
from hbvla_ros.evaluate.sim.world import AlohaWorld
import numpy as np
import pytest

pytestmark = pytest.mark.sim
PICK = TASKS['aloha_pick']


def _watched(world: AlohaWorld) -> tuple[np.ndarray, np.ndarray]:
    """Return plan and states of one disturbed episode."""
    states: list[np.ndarray] = []
    plan, _ = perform(world, PICK, 5, Disturbance(), lambda *_: states.append(world.state()))
    return plan, np.stack(states)


def test_an_episode_has_one_row_per_step_and_begins_before_the_first_action(drawn_world):
    episode = next(demonstrations(drawn_world, PICK, range(5), cameras=('cam_high',)))
    assert episode.state.shape == episode.action.shape == (45, 14)
    assert episode.images['cam_high'].shape == (45, 96, 96, 3)
    assert episode.state.dtype == episode.action.dtype == np.float32
    assert episode.period_s == 0.05
    # Already the first picture shows the arms where the state says they are: off home.
    begin(drawn_world, episode.seed)
    assert (episode.images['cam_high'][0] != drawn_world.image('cam_high')).any()


def test_the_same_seed_gives_the_same_episode(world):
    assert _watched(world)[1].tobytes() == _watched(world)[1].tobytes()


def test_the_label_is_the_plan_and_not_what_was_commanded(world):
    plan, states = _watched(world)
    begin(world, 5)
    start = states[0].astype(float)
    world.place_arms(start)
    scene = begin(world, 5)
    np.testing.assert_allclose(plan, trajectory(start, PICK.plan(world, scene)), atol=1e-5)


def test_failed_episodes_are_passed_over(world):
    wild = Disturbance(drift_rad=0.5)
    assert not list(demonstrations(world, PICK, range(3), cameras=(), disturbance=wild))


def test_grippers_do_not_drift(world):
    scene = begin(world, 0)
    drifts = Disturbance().drifts(PICK.plan(world, scene), np.random.default_rng(0))
    stacked = np.stack(list(drifts))
    assert (stacked[:, [6, 13]] == 0).all()
    # 0.03 / sqrt(1 - 0.8 ** 2) = 0.05 rad in free movement, if it lasted.
    assert 0.02 < stacked[5:14, :6].std() < 0.08


def test_arms_placed_on_a_plan_stand_near_it(world):
    scene = begin(world, 0)
    plan = trajectory(world.state(), PICK.plan(world, scene))
    place_on_plan(world, plan, 20, np.random.default_rng(0))
    joints = np.delete(np.arange(14), [6, 13])
    assert np.abs(world.state() - plan[19])[joints].max() < 0.1  # five spreads of 0.02


def test_a_cube_placed_in_the_hand_is_where_a_grasp_leaves_it(world):
    task = TASKS['aloha_stack']
    scene = begin(world, 2)
    plan = trajectory(world.state(), task.plan(world, scene))
    for action in plan[:46]:
        world.step(action)
    real = world.gripper(scene.arm)[0] - world.cube(scene.target)
    rng = np.random.default_rng(0)
    place_on_plan(world, plan, 46, rng, spread_rad=0)
    place_in_hand(world, scene, rng)
    placed = world.gripper(scene.arm)[0] - world.cube(scene.target)
    np.testing.assert_allclose(placed, real, atol=0.015)  # three spreads and the servos' sag
    assert world.state()[[6, 13]].min() == pytest.approx(0.6, abs=1e-5)


def test_a_negative_spread_is_refused():
    with pytest.raises(ConfigError, match='spreads'):
        Disturbance(start_rad=-1)
