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
The lifecycle node that commands the robot: chunks and joint states in, limited commands out.

It holds no network and never imports torch, so that it keeps its rhythm while the policy computes
and survives it. Motion needs the node active, the service ``~/enable`` (or ``enable_on_start``)
and no latched stop; whatever else is missing holds the robot, with the reason in the status.
"""

import sys
from typing import Any

from hbvla_ros.core.robot import RobotSpec
from hbvla_ros.policy.executor import Command, Executor, Hold
from hbvla_ros.ros.chunk_request import ChunkRequest
from hbvla_ros.ros.command_output import CommandOutput
from hbvla_ros.ros.diagnostics import Durations, Level, Report
from hbvla_ros.ros.executor_inputs import ExecutorInputs
from hbvla_ros.ros.executor_setup import load_robot, make_executor
from hbvla_ros.ros.managed_node import ACTIVE, ManagedNode
from hbvla_ros.ros.node_main import run
from hbvla_ros.ros.settings import ExecutorParameters
from rcl_interfaces.msg import SetParametersResult
from std_srvs.srv import SetBool, Trigger

_LAST_WORD_S = 0.2  # for the safety command to arrive before its publisher is withdrawn
# Holds that are no fault.
_CALM = (Hold.DISABLED, Hold.PAUSED, Hold.NO_CHUNK, Hold.NEW_INSTRUCTION)
_PAUSED = 'paused until ~/pause false; motion stays enabled'
_RESUMED = 'resumed; motion goes on with the next chunk that is observed from now on'


class ActionExecutorNode(ManagedNode):
    """``hbvla_executor``."""

    def __init__(self, **options: Any) -> None:
        """
        Declare the parameters.

        :param options: passed on to rclpy
        """
        super().__init__('hbvla_executor', ExecutorParameters, **options)
        self._settings = ExecutorParameters()
        self._robot: RobotSpec | None = None
        self._executor: Executor | None = None
        self._inputs: ExecutorInputs | None = None
        self._output: CommandOutput | None = None
        self._request: ChunkRequest | None = None
        self._offered: list[Any] = []
        self._timer: Any = None
        self._delay = Durations()
        self.add_on_set_parameters_callback(self._judge_dry_run)

    def configure(self) -> None:
        """Read the robot file, subscribe, advertise the outputs and offer the services."""
        settings = self.settings(ExecutorParameters)
        robot = load_robot(settings)
        executor = make_executor(settings, robot)
        if self._executor is not None and self._executor.estopped:
            executor.estop('latched before the node was configured again')
        self._settings, self._robot, self._executor = settings, robot, executor
        period_s = 1.0 / settings.control_rate_hz
        self._output = CommandOutput(self, robot, settings.command_adapter, period_s)
        self._inputs = ExecutorInputs(self, robot, executor, settings.heartbeat_timeout_s)
        self._request = ChunkRequest(self)
        self._offered = [
            self.create_service(SetBool, '~/enable', self._on_enable),
            self.create_service(SetBool, '~/pause', self._on_pause),
            self.create_service(Trigger, '~/estop', self._on_estop),
            self.create_service(Trigger, '~/reset', self._on_reset),
        ]

    def activate(self) -> None:
        """Start the control timer; motion starts only where ``enable_on_start`` says so."""
        assert self._executor
        self._executor.set_enabled(enabled=self._settings.enable_on_start)
        self._timer = self.create_timer(1.0 / self._settings.control_rate_hz, self._on_tick)

    def deactivate(self) -> None:
        """Stop the timer and send the safety command last."""
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None
        if self._executor:
            self._executor.set_enabled(enabled=False)
            self._step(self._executor)
        if self._output:
            self._output.flush(_LAST_WORD_S)

    def cleanup(self) -> None:
        """Withdraw topics and services; a latched stop stays latched."""
        for service in self._offered:
            self.destroy_service(service)
        self._offered.clear()
        if self._inputs:
            self._inputs.close()
        if self._output:
            self._output.close()
        if self._request:
            self._request.close()
        self._inputs = self._output = self._request = None

    def report(self) -> Report:
        """Say whether the robot is moved, and if not, why."""
        assert self._robot
        assert self._executor
        assert self._inputs
        values = {
            'robot': self._robot.name,
            'dry_run': self._dry_run(),
            **self._executor.summary(),
            **self._inputs.summary(),
            'observation_to_command': self._delay.summary(),
        }
        if self.state != ACTIVE:
            return Report(Level.WARN, self.state, values)
        hold = self._executor.hold
        if hold is None:
            return Report(Level.OK, 'moving', values)
        level = Level.WARN if hold in _CALM else Level.ERROR
        return Report(level, f'holding: {hold.value}: {self._executor.detail}', values)

    def _on_tick(self) -> None:
        if self._inputs:
            self._inputs.listen()
        if self._executor:
            self._step(self._executor)
        if self._executor and self._request:
            now_ns = self.now_ns()
            self._request.update(now_ns, waiting=self._executor.wants_chunk(now_ns))

    def _step(self, executor: Executor) -> None:
        now_ns, before = self.now_ns(), executor.hold
        was_moving = executor.moving
        outcome = executor.step(now_ns)
        if isinstance(outcome, Command):
            self._send(outcome, now_ns)
        if executor.hold is not before or executor.moving is not was_moving:
            self._tell(executor)

    def _send(self, command: Command, now_ns: int) -> None:
        if self._output and not self._dry_run():
            measured = self._inputs.measured if self._inputs else {}
            self._output.send(command.values, now_ns, command.ahead, measured)
        if command.chunk_stamp_ns is not None:
            self._delay.add((now_ns - command.chunk_stamp_ns) / 1e9)

    def _judge_dry_run(self, parameters: list[Any]) -> Any:
        """Let a dry run end only at rest: motion must begin where the robot really is."""
        ends = any(p.name == 'dry_run' and not p.value for p in parameters)
        if ends and self._executor and self._executor.enabled and self._dry_run():
            reason = (
                'parameter dry_run cannot end while motion is enabled; call ~/enable false first'
            )
            return SetParametersResult(successful=False, reason=reason)
        return SetParametersResult(successful=True)

    def _dry_run(self) -> bool:
        """Read the one parameter that may be changed while the node works."""
        return bool(self.get_parameter('dry_run').value)

    def _tell(self, executor: Executor) -> None:
        if executor.hold is None:
            self.get_logger().info('moving')
        else:
            self.get_logger().info(f'holding: {executor.hold.value}: {executor.detail}')
        self.publish_report()

    def _on_enable(self, request: Any, response: Any) -> Any:
        assert self._executor
        wanted = bool(request.data)
        if wanted and self.state != ACTIVE:
            return _answer(response, f'the node is {self.state}; activate it first', success=False)
        if wanted and self._executor.estopped:
            return _answer(response, 'the stop is latched; call ~/reset first', success=False)
        self._executor.set_enabled(enabled=wanted)
        return _answer(response, 'motion enabled' if wanted else 'motion disabled')

    def _on_pause(self, request: Any, response: Any) -> Any:
        assert self._executor
        wanted = bool(request.data)
        self._executor.set_paused(self.now_ns(), paused=wanted)
        self.publish_report()
        return _answer(response, _PAUSED if wanted else _RESUMED)

    def _on_estop(self, _request: Any, response: Any) -> Any:
        assert self._executor
        self._executor.estop('service ~/estop')
        self.get_logger().warning('emergency stop from the service ~/estop')
        self.publish_report()
        return _answer(response, 'stopped until ~/reset')

    def _on_reset(self, _request: Any, response: Any) -> Any:
        assert self._executor
        assert self._inputs
        if self._inputs.stop_requested:
            return _answer(response, 'the topic estop still says stop', success=False)
        self._executor.reset()
        self.publish_report()
        return _answer(response, 'stop released; call ~/enable to move')


def _answer(response: Any, message: str, *, success: bool = True) -> Any:
    response.success, response.message = success, message
    return response


def main(args: list[str] | None = None) -> int:
    """Run the node until it is told to stop."""
    return run(ActionExecutorNode, args)


if __name__ == '__main__':
    sys.exit(main())
