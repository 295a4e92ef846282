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

"""Limits and losses: what an action executor does when the world misbehaves."""

from dataclasses import replace
from typing import Any

from builders import robot
from hbvla_ros.core.action import ActionChunk
from hbvla_ros.core.errors import ConfigError
from hbvla_ros.core.robot import WorkspaceSpec
from hbvla_ros.evaluate.audit import audit_motion
from hbvla_ros.evaluate.executor_trial import Trial
from hbvla_ros.policy.chunk_buffer import Drop
from hbvla_ros.policy.executor import Command, Executor, ExecutorConfig, Hold
from hbvla_ros.policy.plan import MODES, PlanConfig
from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
from numpy.typing import NDArray
import pytest

MS = 1_000_000
TICK = 20 * MS
START = 1000 * MS
REAL = robot('mobile_aloha_interbotix')  # the same arms, and 1 rad of max_jump
# Accelerates at once, so that a test can tell where the next command is.
ALOHA = replace(REAL, actions=tuple(replace(a, max_acceleration=1e6) for a in REAL.actions))
PANDA = robot('libero_panda')
NAMES = ALOHA.action_names


def chunk(target: float | NDArray[np.float64], stamp_ns: int = START) -> ActionChunk:
    rows = np.broadcast_to(np.asarray(target, dtype=np.float64), (25, 14)).copy()
    return ActionChunk(actions=rows, stamp_ns=stamp_ns, period_s=0.04)


def measured(value: float = 0.0) -> dict[str, float]:
    return dict.fromkeys(ALOHA.state_names, value)


def ready(target: float = 0.0, **config: Any) -> Executor:
    """Return an enabled executor that has all it needs to move."""
    executor = Executor(ALOHA, ExecutorConfig(**config))
    executor.set_enabled(enabled=True)
    executor.on_state(measured(), START)
    executor.on_chunk(chunk(target), NAMES, START)
    return executor


def command(executor: Executor, now_ns: int) -> Command:
    outcome = executor.step(now_ns)
    assert isinstance(outcome, Command)
    return outcome


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('on_stale', ['hold', 'decelerate'])
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_command_breaks_a_limit_whatever_arrives(mode: str, on_stale: str, seed: int) -> None:
    config = ExecutorConfig(on_stale=on_stale, plan=PlanConfig(mode=mode))
    trial = Trial(REAL, config, seed)
    trial.begin()

    assert trial.commands == 1, 'the run should begin in motion'
    assert trial.run(120) == []


def test_the_real_limits_bound_the_acceleration_of_every_motion() -> None:
    executor = Executor(REAL, ExecutorConfig())
    executor.set_enabled(enabled=True)
    executor.on_state(measured(), START)
    executor.on_chunk(chunk(0.4), NAMES, START)
    values = np.array([command(executor, START + k * TICK).values for k in range(25)])

    # 5 rad/s^2 over 20 ms is 2 mrad, then 4 mrad more.
    assert values[:2, 0] == pytest.approx([0.002, 0.006])
    from_rest = np.vstack([np.zeros(14), values])
    assert audit_motion(REAL, from_rest, [START + k * TICK for k in range(26)], 0.02) == []
    assert values[:, 0].max() <= 0.4


def test_a_motion_may_end_braking() -> None:
    executor = Executor(REAL, ExecutorConfig(on_stale='decelerate'))
    executor.set_enabled(enabled=True)
    executor.on_state(measured(), START)
    executor.on_chunk(chunk(0.9), NAMES, START)
    moving = [command(executor, START + k * TICK).values[0] for k in range(10)]
    executor.on_instruction('something else', START + 10 * TICK)
    ends = [executor.step(START + k * TICK) for k in range(10, 40)]
    stop = [end.values[0] for end in ends if isinstance(end, Command)]

    # 1 rad/s at 0.1 rad/s per tick: ten ticks, and the last command once more.
    assert len(stop) == 11
    assert stop[-1] == stop[-2]
    assert np.diff([*moving, *stop]).min() >= 0
    assert ends[-1] is Hold.NEW_INSTRUCTION


def test_an_emergency_stop_never_brakes_gently() -> None:
    executor = ready(target=1.0, on_stale='decelerate')
    last = command(executor, START).values
    executor.estop('button')

    assert command(executor, START + TICK).values.tolist() == last.tolist()
    assert executor.step(START + 2 * TICK) is Hold.ESTOP


def test_a_policy_that_vanished_holds_and_what_it_saw_before_never_moves_the_robot() -> None:
    executor = ready(target=1.0)
    command(executor, START)
    executor.on_policy(START + TICK, alive=False)

    assert command(executor, START + TICK).hold is Hold.POLICY_LOST
    assert executor.step(START + 2 * TICK) is Hold.POLICY_LOST
    executor.on_policy(START + 3 * TICK, alive=True)
    assert executor.on_chunk(chunk(1.0, START + 1), NAMES, START + 3 * TICK) is Drop.BEFORE_LOSS
    assert executor.step(START + 3 * TICK) is Hold.POLICY_LOST
    executor.on_chunk(chunk(0.1, START + 3 * TICK), NAMES, START + 4 * TICK)
    assert command(executor, START + 4 * TICK).hold is None


def test_a_pause_keeps_motion_enabled_and_only_what_is_seen_after_it_moves_the_robot() -> None:
    executor = ready(target=1.0)
    command(executor, START)
    executor.set_paused(START + TICK, paused=True)

    assert command(executor, START + TICK).hold is Hold.PAUSED
    assert executor.enabled
    assert not executor.wants_chunk(START + TICK)
    executor.on_chunk(chunk(1.0, START + TICK), NAMES, START + TICK)
    assert executor.step(START + 2 * TICK) is Hold.PAUSED
    executor.set_paused(START + 3 * TICK, paused=False)
    assert executor.step(START + 3 * TICK) is Hold.NO_CHUNK
    assert executor.wants_chunk(START + 3 * TICK)
    late = chunk(1.0, START + 2 * TICK)
    assert executor.on_chunk(late, NAMES, START + 4 * TICK) is Drop.BEFORE_RESUME


def test_after_a_pause_motion_begins_where_the_robot_was_put_meanwhile() -> None:
    executor = ready(target=1.0)
    command(executor, START)
    executor.set_paused(START + TICK, paused=True)
    command(executor, START + TICK)
    executor.on_state(measured(0.4), START + 2 * TICK)
    executor.set_paused(START + 3 * TICK, paused=False)
    executor.on_chunk(chunk(1.0, START + 4 * TICK), NAMES, START + 4 * TICK)

    # one permitted step of 1.5 rad/s in 20 ms
    assert command(executor, START + 4 * TICK).values[0] == pytest.approx(0.43)


def test_a_pause_that_ends_twice_forgets_nothing() -> None:
    executor = ready(target=1.0)
    command(executor, START)
    executor.set_paused(START + TICK, paused=False)

    assert command(executor, START + TICK).hold is None


def test_stops_that_latch_outlast_a_pause() -> None:
    executor = ready(target=1.0)
    executor.set_paused(START, paused=True)
    executor.estop('button')
    executor.set_paused(START + TICK, paused=False)

    assert executor.step(START + TICK) is Hold.ESTOP


def test_a_policy_that_was_never_there_is_not_missed() -> None:
    executor = ready(target=1.0)

    assert command(executor, START).hold is None
    assert executor.summary()['policy_lost'] is False


def test_a_chunk_with_a_jump_is_rejected_whole_and_the_plan_goes_on() -> None:
    executor = ready(target=0.1)
    command(executor, START)
    rows = np.full((25, 14), 0.1)
    rows[7:, 2] = 1.5

    assert executor.on_chunk(chunk(rows, START + 1), NAMES, START + 1) is Drop.JUMP
    assert 'left_elbow jumps by 1.4 in row 7' in executor.summary()['last_drop']
    assert command(executor, START + TICK).hold is None


def test_a_chunk_that_begins_far_from_the_robot_is_rejected() -> None:
    executor = Executor(ALOHA, ExecutorConfig())
    executor.on_state(measured(), START)

    assert executor.on_chunk(chunk(1.1), NAMES, START) is Drop.JUMP
    assert 'left_waist should be at 1.1 now and is at 0' in executor.summary()['last_drop']


def test_after_a_stall_motion_goes_on_from_rest() -> None:
    executor = Executor(REAL, ExecutorConfig())
    executor.set_enabled(enabled=True)
    executor.on_state(measured(), START)
    executor.on_chunk(chunk(0.5), NAMES, START)
    values = [command(executor, START + k * TICK).values[0] for k in range(10)]
    late = command(executor, START + 20 * TICK).values[0]

    assert late - values[-1] == pytest.approx(0.002)


def test_a_policy_that_waits_may_look_when_nothing_is_left_to_follow() -> None:
    executor = ready(plan=PlanConfig(mode='open_loop', execute_steps=5))

    assert not executor.wants_chunk(START + 199 * MS)
    assert executor.wants_chunk(START + 200 * MS)


def test_a_robot_without_limits_is_refused() -> None:
    first, *others = ALOHA.actions
    bare = replace(ALOHA, actions=(replace(first, upper=float('nan')), *others))

    with pytest.raises(ConfigError, match='left_waist lacks upper'):
        Executor(bare, ExecutorConfig())


def test_a_box_for_the_end_effector_needs_its_measured_position() -> None:
    box = WorkspaceSpec(
        states=('eef_x',), actions=('dx',), scale=0.05, lower=(-0.1,), upper=(0.001,)
    )
    executor = Executor(replace(PANDA, workspace=box), ExecutorConfig())
    executor.set_enabled(enabled=True)
    plan = ActionChunk(actions=np.full((8, 7), 0.3), stamp_ns=START, period_s=0.05)
    executor.on_chunk(plan, PANDA.action_names, START)

    assert executor.step(START) is Hold.NO_STATE
    assert executor.detail == "no measured state of ['eef_x']"
    executor.on_state({'eef_x': 0.0}, START)
    assert command(executor, START).values[0] == pytest.approx(0.02)
    assert executor.summary()['clamps']['workspace'] == 1
