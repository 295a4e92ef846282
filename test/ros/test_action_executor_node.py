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

"""The action executor node over real middleware."""

from typing import Any

from builders import robot
from executor_bench import Bench, RIGHT_OUT, SUCCESS
from hbvla_ros.core.action import ActionChunk
from hbvla_ros.ros.action_executor_node import ActionExecutorNode
from hbvla_ros.ros.chunks import chunk_message, time_message
import numpy as np
import pytest
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from stand_in import ALOHA, joint_state
from std_msgs.msg import Bool, Float64MultiArray, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

pytestmark = pytest.mark.ros
FAILURE = TransitionCallbackReturn.FAILURE
LEFT = ALOHA.states[0]


def positions(message: Any) -> list[float]:
    return list(message.points[0].positions)


def test_bring_up_never_enables_motion(graph: Any) -> None:
    bench = Bench(graph)
    graph.repeat(bench.drive, lambda: bench.now()['chunks'] > 3, 'chunks')

    assert bench.now()['message'] == 'holding: disabled: motion is not enabled'
    assert bench.sent == []


def test_an_enabled_robot_is_led_step_by_step_from_where_it_is(graph: Any) -> None:
    bench = Bench(graph)
    right = graph.collect(JointTrajectory, RIGHT_OUT, 100)
    bench.move(target=1.0)
    graph.until(lambda: len(bench.sent) > 5 and right, 'commands for both arms')
    values = np.array([positions(message) for message in bench.sent])

    # From rest at 5 rad/s^2: 2 mrad in the first 20 ms, then faster; float32 measured 0.1.
    assert values[0, 0] == pytest.approx(0.102, abs=1e-6)
    assert values[-1, 0] > values[0, 0]
    assert (np.diff(values[:, 0]) <= 0.03 + 1e-9).all()
    assert (np.diff(values[:, 0]) >= 0).all()
    # The gripper accelerates at 30 per s^2: 0.012 of its 1.0017 rad with the first command.
    assert values[0, 6] == pytest.approx(0.6197 + 0.112 * (1.6214 - 0.6197), abs=1e-6)
    assert bench.sent[0].joint_names[0] == 'waist'
    assert bench.sent[0].points[0].time_from_start.nanosec == 20_000_000
    status = bench.now()
    assert status['message'] == 'moving'
    assert status['clamps']['acceleration'] > 0
    assert status['observation_to_command']['p50_ms'] > 0


def test_motion_can_be_enabled_at_activation(graph: Any) -> None:
    bench = Bench(graph, enable_on_start=True)
    graph.repeat(bench.drive, lambda: bench.sent, 'motion')


def test_when_chunks_end_one_safety_command_is_sent_and_then_nothing(graph: Any) -> None:
    bench = Bench(graph, max_chunk_age_s=0.2)
    bench.move()
    graph.repeat(bench.feel, lambda: bench.now()['hold'] == 'stale_chunk', 'the end')
    graph.until(lambda: len(bench.sent) == bench.now()['commands'] + 1, 'the safety command')

    assert positions(bench.sent[-1]) == positions(bench.sent[-2])
    bench.stays_silent()
    assert bench.now()['holds']['stale_chunk'] == 1


def test_when_states_end_the_robot_holds_and_names_the_joints(graph: Any) -> None:
    bench = Bench(graph, max_state_age_s=0.1)
    bench.move()
    graph.repeat(bench.plan, lambda: bench.now()['hold'] == 'stale_state', 'the hold')

    assert 'left_waist' in bench.now()['detail']
    assert bench.now()['level'] == 'error'


def test_a_chunk_with_nan_is_dropped_whole_and_the_plan_goes_on(graph: Any) -> None:
    bench = Bench(graph)
    bench.move()
    rows = ActionChunk(actions=np.zeros((25, 14)), stamp_ns=bench.now_ns(), period_s=0.04)
    message = chunk_message(rows, ALOHA)
    message.points[20].positions[3] = float('nan')
    bench.chunks.publish(message)
    graph.until(lambda: bench.now()['chunks_dropped'].get('invalid'), 'the drop')

    assert 'not finite, the first in row 20, action 3' in bench.now()['last_drop']
    assert bench.now()['hold'] == ''


def test_a_chunk_for_other_joints_is_dropped_and_named(graph: Any) -> None:
    bench = Bench(graph)
    chunk = ActionChunk(actions=np.zeros((8, 7)), stamp_ns=bench.now_ns(), period_s=0.05)
    bench.chunks.publish(chunk_message(chunk, robot('libero_panda')))
    graph.until(lambda: bench.now()['chunks_dropped'] == {'names': 1}, 'the drop')

    assert "'dx'" in bench.now()['last_drop']


def test_an_old_chunk_is_dropped(graph: Any) -> None:
    bench = Bench(graph)
    bench.plan(stamp_ns=bench.now_ns() - 3_000_000_000)
    graph.until(lambda: bench.now()['chunks_dropped'] == {'stale': 1}, 'the drop')


@pytest.mark.parametrize('damage', ['missing', 'nan'])
def test_a_joint_state_that_can_not_be_used_is_counted_and_the_robot_holds(
    graph: Any, damage: str
) -> None:
    bench = Bench(graph, enable_on_start=True)
    message = joint_state(LEFT, bench.now_ns())
    if damage == 'missing':
        message.name[1] = 'elsewhere'
    else:
        message.position[1] = float('nan')
    bench.states[LEFT].publish(message)
    bench.plan()
    status = bench.holds('no_state')

    assert status['bad_states'] == 1
    assert 'shoulder' in status['last_bad_state']
    assert bench.sent == []


def test_a_pause_holds_an_enabled_robot_until_it_ends(graph: Any) -> None:
    bench = Bench(graph)
    bench.move()
    assert bench.ask('pause').success
    assert bench.holds('paused')['enabled']
    graph.repeat(bench.drive, lambda: bench.now()['chunks'] > 5, 'more chunks')
    bench.stays_silent()

    assert 'from now on' in bench.ask('pause', on=False).message
    count = len(bench.sent)
    graph.repeat(bench.drive, lambda: len(bench.sent) > count, 'motion without enabling')


def test_the_stop_service_is_latched_until_reset_and_enable(graph: Any) -> None:
    bench = Bench(graph)
    bench.move()
    assert graph.call(Trigger, '/hbvla_executor/estop').success
    assert bench.holds('estop')['estop'] == 'service ~/estop'
    refused = bench.ask()
    assert not refused.success
    assert 'the stop is latched; call ~/reset first' in refused.message
    graph.repeat(bench.drive, lambda: bench.now()['chunks'] > 5, 'more chunks')
    bench.stays_silent()

    assert graph.call(Trigger, '/hbvla_executor/reset').success
    bench.holds('disabled')
    bench.move()


def test_the_stop_topic_is_latched_and_reset_waits_for_its_release(graph: Any) -> None:
    bench = Bench(graph)
    button = graph.advertise(Bool, 'estop')
    bench.move()
    button.publish(Bool(data=True))
    assert bench.holds('estop')['estop'] == 'topic estop'
    refused = graph.call(Trigger, '/hbvla_executor/reset')
    assert not refused.success
    assert refused.message == 'the topic estop still says stop'

    button.publish(Bool(data=False))
    graph.repeat(
        lambda: None,
        lambda: graph.call(Trigger, '/hbvla_executor/reset').success,
        'the release',
    )
    assert bench.now()['estop'] == ''


def test_a_latched_stop_survives_cleanup(graph: Any) -> None:
    bench = Bench(graph)
    assert graph.call(Trigger, '/hbvla_executor/estop').success
    assert bench.node.trigger_deactivate() is SUCCESS
    assert bench.node.trigger_cleanup() is SUCCESS
    assert bench.node.trigger_configure() is SUCCESS
    assert bench.node.trigger_activate() is SUCCESS

    assert bench.holds('estop')['estop'] == 'latched before the node was configured again'


def test_an_inactive_node_can_not_be_enabled(graph: Any) -> None:
    bench = Bench(graph, active=False)
    refused = bench.ask()

    assert not refused.success
    assert refused.message == 'the node is inactive; activate it first'


def test_deactivation_sends_the_safety_command_last(graph: Any) -> None:
    bench = Bench(graph)
    bench.move()
    assert bench.node.trigger_deactivate() is SUCCESS
    commands = bench.now()['commands']
    graph.until(lambda: len(bench.sent) == commands + 1, 'the safety command')

    assert positions(bench.sent[-1]) == positions(bench.sent[-2])
    bench.stays_silent()


def test_after_deactivation_motion_must_be_enabled_again(graph: Any) -> None:
    bench = Bench(graph)
    bench.move()
    assert bench.node.trigger_deactivate() is SUCCESS
    assert bench.node.trigger_activate() is SUCCESS
    bench.drive()

    assert bench.holds('disabled')['enabled'] is False


def test_a_dry_run_decides_but_sends_nothing(graph: Any) -> None:
    bench = Bench(graph, dry_run=True, enable_on_start=True)
    graph.repeat(bench.drive, lambda: bench.now()['commands'] > 3, 'decisions')

    assert bench.sent == []
    assert bench.now()['dry_run'] is True


def test_a_dry_run_can_begin_at_any_time_and_ends_only_at_rest(graph: Any) -> None:
    bench = Bench(graph, enable_on_start=True)
    bench.move()
    [result] = bench.node.set_parameters([Parameter('dry_run', value=True)])
    assert result.successful
    count = len(bench.sent)
    commands = bench.now()['commands']
    graph.repeat(bench.drive, lambda: bench.now()['commands'] > commands + 5, 'decisions')
    assert len(bench.sent) <= count + 1  # one was on its way

    [result] = bench.node.set_parameters([Parameter('dry_run', value=False)])
    assert not result.successful
    assert 'cannot end while motion is enabled' in result.reason
    assert bench.ask(on=False).success
    [result] = bench.node.set_parameters([Parameter('dry_run', value=False)])
    assert result.successful
    bench.move()

    [result] = bench.node.set_parameters([Parameter('chunk_mode', value='open_loop')])
    assert not result.successful
    assert 'chunk_mode cannot be changed now: the node is active' in result.reason


def test_another_instruction_discards_the_chunk(graph: Any) -> None:
    bench = Bench(graph)
    words = graph.advertise(String, ALOHA.instruction_topic)
    bench.move()
    words.publish(String(data='fold the towel'))

    assert bench.holds('new_instruction')['level'] == 'warn'


def test_commands_can_be_bare_numbers(graph: Any) -> None:
    bench = Bench(
        graph,
        kind=Float64MultiArray,
        command_adapter='float64_multiarray',
        enable_on_start=True,
    )
    graph.repeat(bench.drive, lambda: bench.sent, 'a command')

    assert len(bench.sent[0].data) == 7
    assert bench.sent[0].data[0] == pytest.approx(0.1, abs=1e-6)  # the state is float32


def test_when_simulated_time_goes_back_nothing_is_sent(graph: Any) -> None:
    bench = Bench(graph, use_sim_time=True, enable_on_start=True)
    clock = graph.advertise(Clock, '/clock')
    time_ns = [50_000_000_000]

    def tick() -> None:
        time_ns[0] += 10_000_000
        clock.publish(Clock(clock=time_message(time_ns[0])))
        bench.feel()
        bench.plan(stamp_ns=time_ns[0])

    graph.repeat(tick, lambda: len(bench.sent) > 3, 'motion')
    graph.until(lambda: len(bench.sent) == bench.now()['commands'], 'all commands')
    count = len(bench.sent)
    time_ns[0] = 1_000_000_000

    def rewind() -> None:
        time_ns[0] += 10_000_000
        clock.publish(Clock(clock=time_message(time_ns[0])))

    graph.repeat(rewind, lambda: bench.now()['hold'] == 'clock_reset', 'the reset')
    assert len(bench.sent) == count
    graph.repeat(tick, lambda: len(bench.sent) > count, 'motion again')


def test_a_publisher_that_can_not_be_heard_is_reported(graph: Any) -> None:
    bench = Bench(graph)
    weak = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    quiet = PublisherEventCallbacks(use_default_callbacks=False)
    graph.probe.create_publisher(Bool, 'estop', weak, event_callbacks=quiet)
    graph.until(lambda: 'matching QoS' in bench.now()['message'], 'the mismatch')

    assert bench.now()['level'] == 'error'
    assert "'estop': 'RELIABILITY'" in bench.now()['message']


def test_an_unknown_robot_fails_to_configure_and_is_explained(graph: Any) -> None:
    overrides = [Parameter('robot', value='r2d2')]
    node = graph.add(ActionExecutorNode(context=graph.context, parameter_overrides=overrides))

    assert node.trigger_configure() is FAILURE
    assert "no robot 'r2d2'; known: " in graph.status('hbvla_executor')()['message']
