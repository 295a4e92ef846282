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
A small laboratory: real processes over real middleware, and an observer that plays the robot.

The observer publishes joint states that follow the commands, keeps every command with the time at
which it was sent, and talks to the nodes through their services as an operator does. Times of
arrival would not do: a process that is stopped amid a write to shared memory leaves its port
locked, and who publishes to it, as the observer does, stands still for up to three seconds.
"""

from collections.abc import Callable, Mapping, Sequence
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from benchmarks.record import REPOSITORY
from benchmarks.robustness.actors import ROBOT
from hbvla_ros.ros import qos
from hbvla_ros.ros.chunks import time_message
from lifecycle_msgs.srv import ChangeState, GetState
import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, String
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

POLICY, EXECUTOR, CAMERAS = 'hbvla_policy', 'hbvla_executor', 'cameras'
_TRANSITIONS = {'configure': 1, 'cleanup': 2, 'activate': 3, 'deactivate': 4}
_ACTORS = [sys.executable, '-m', 'benchmarks.robustness.actors']
_COMMANDS = {
    CAMERAS: [*_ACTORS, 'cameras'],
    POLICY: [
        *_ACTORS, 'policy', '--ros-args', '-r', f'__node:={POLICY}', '-p', 'model_path:=none',
        '-p', 'default_instruction:=wave', '-p', 'execute_steps:=5', '-p', 'max_state_age_s:=0.5',
    ],
    EXECUTOR: [
        sys.executable, '-m', 'hbvla_ros.ros.action_executor_node', '--ros-args',
        '-r', f'__node:={EXECUTOR}', '-r', f'action_chunk:={POLICY}/action_chunk',
        '-r', f'heartbeat:={POLICY}/heartbeat',
    ],
}  # fmt: skip


class LabError(Exception):
    """The laboratory did not come to the state that a fault needs."""


class Lab:
    """The processes, and the observer between them."""

    def __init__(
        self,
        domain: int,
        actors: Mapping[str, str] | None = None,
        before: Mapping[str, Sequence[str]] | None = None,
        **environment: str,
    ) -> None:
        """
        Start the observer; :meth:`begin` starts the processes.

        :param domain: of ROS, nobody else's
        :param actors: by process, which actor it is instead of its own
        :param before: by process, words before its command, such as those of ``chrt``
        :param environment: of the processes
        """
        self._before = dict(before or {})
        self._environment = {
            **os.environ,
            'ROS_DOMAIN_ID': str(domain),
            'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
            'PYTHONPATH': str(REPOSITORY),
            **environment,
        }
        self._shared = shared_memory()
        self._actors = dict(actors or {})
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.commands: list[tuple[float, list[float]]] = []  # time and the left arm's positions
        self.statuses: dict[str, dict[str, Any]] = {}
        self.measured = dict.fromkeys(ROBOT.state_names, 0.0)
        self.feels = True
        self._context = rclpy.Context()
        rclpy.init(args=[], context=self._context, domain_id=domain)
        self.node = rclpy.create_node('observer', context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._wire()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _wire(self) -> None:
        node = self.node
        for index, group in enumerate(ROBOT.outputs):
            node.create_subscription(
                JointTrajectory,
                group.topic,
                lambda message, info, i=index: self._on_command(i, message, info),
                100,
            )
        self._states = [node.create_publisher(JointState, g.topic, 10) for g in ROBOT.states]
        self.estop = node.create_publisher(Bool, 'estop', qos.ESTOP)
        self.words = node.create_publisher(String, ROBOT.instruction_topic, qos.INSTRUCTION)
        self.chunks = node.create_publisher(
            JointTrajectory, f'{POLICY}/action_chunk', qos.ACTION_CHUNK
        )
        for name in (POLICY, EXECUTOR):
            node.create_subscription(
                String, f'{name}/status', lambda m, n=name: self._on_status(n, m), qos.STATUS
            )
        node.create_timer(0.01, self._feel)

    def begin(self, *, policy: bool = True) -> 'Lab':
        """Start all processes, activate the nodes and enable motion."""
        for name in (CAMERAS, EXECUTOR, *([POLICY] if policy else [])):
            self.start(name)
        self.rouse(EXECUTOR)
        if policy:
            self.rouse(POLICY)
        self.enable()
        return self

    def start(self, name: str, **environment: str) -> None:
        """Start one process, in a session of its own."""
        command = list(_COMMANDS[name])
        if name in self._actors:
            command[3] = self._actors[name]
        command = [*self._before.get(name, ()), *command]
        self.processes[name] = subprocess.Popen(
            command,
            env={**self._environment, **environment},
            cwd=REPOSITORY,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a process, and wait for its end if it was killed."""
        self.processes[name].send_signal(number)
        if number is signal.SIGKILL:
            self.processes[name].wait()

    def rouse(self, name: str) -> None:
        """Configure and activate a node that was just started."""
        self._answers(name)
        for step in ('configure', 'activate'):
            self.change(name, step)

    def change(self, name: str, step: str) -> None:
        """Take a node through one transition."""
        request = ChangeState.Request()
        request.transition.id = _TRANSITIONS[step]
        if not self.call(ChangeState, f'{name}/change_state', request).success:
            raise LabError(f'{name} did not {step}: {self.status(name).get("message")}')

    def enable(self) -> None:
        """Allow motion."""
        self.call(SetBool, f'{EXECUTOR}/enable', SetBool.Request(data=True))

    def trigger(self, service: str) -> bool:
        """Call ``~/estop`` or ``~/reset`` of the executor."""
        return bool(self.call(Trigger, f'{EXECUTOR}/{service}', Trigger.Request()).success)

    def _answers(self, name: str) -> None:
        """Wait for a node, and not for one of the same name that was killed."""
        client = self.node.create_client(GetState, f'{name}/get_state')
        futures: list[Any] = []

        def answered() -> bool:
            if client.service_is_ready() and len(futures) * 0.3 < time.monotonic() - begun:
                futures.append(client.call_async(GetState.Request()))
            return any(future.done() for future in futures)

        begun = time.monotonic()
        self.until(answered, f'the node {name}', 40.0)
        self.node.destroy_client(client)

    def call(self, kind: Any, name: str, request: Any) -> Any:
        """Call a service once and wait for its answer."""
        client = self.node.create_client(kind, name)
        answer = self.answer(client, request)
        self.node.destroy_client(client)
        return answer

    def answer(self, client: Any, request: Any) -> Any:
        """Call a service and wait for its answer; the first call of a client takes longer."""
        self.until(client.service_is_ready, f'the service {client.srv_name}', 40.0)
        future = client.call_async(request)
        self.until(future.done, f'an answer of {client.srv_name}', 40.0)
        return future.result()

    def until(self, condition: Callable[[], Any], what: str, timeout_s: float = 15.0) -> None:
        """Wait until something is true."""
        end = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > end:
                said = {name: status.get('message') for name, status in self.statuses.items()}
                raise LabError(f'waited {timeout_s:.0f} s for {what}; status: {said}')
            time.sleep(0.005)

    def moving(self, timeout_s: float = 20.0) -> None:
        """Wait until commands flow for a third of a second."""
        count = len(self.commands)
        self.until(lambda: len(self.commands) > count + 15, 'motion', timeout_s)

    def silence(self, since: float, quiet_s: float = 0.4, timeout_s: float = 10.0) -> float:
        """
        Wait until no command came for a while.

        :param since: when the fault began (``time.monotonic``)
        :return: ms from there to the last command
        """
        self.until(
            lambda: time.monotonic() - max(since, self.commands[-1][0]) > quiet_s,
            'silence',
            timeout_s,
        )
        return max(0.0, self.commands[-1][0] - since) * 1e3

    def held(self, since: float, reason: str) -> float:
        """
        Wait until the executor says why it holds and no command came for a while.

        A machine that is busy elsewhere looks silent too: what counts is the silence after the
        reason.

        :param since: when the fault began (``time.monotonic``)
        :param reason: of the hold
        :return: ms from there to the last command
        """
        self.silence(since)
        self.until(lambda: self.status(EXECUTOR).get('hold') == reason, reason)
        return self.silence(since)

    def status(self, name: str) -> dict[str, Any]:
        """Return the latest status of a node."""
        return self.statuses.get(name, {})

    def close(self) -> dict[str, int]:
        """Stop everything in order; return the exit codes."""
        for number in (signal.SIGCONT, signal.SIGINT, signal.SIGKILL):
            for process in self.processes.values():
                if process.poll() is None:
                    process.send_signal(number)
            self._wait(8.0 if number is signal.SIGINT else 0.0)
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)
        sweep(self._shared)
        return {name: process.wait() for name, process in self.processes.items()}

    def _wait(self, timeout_s: float) -> None:
        end = time.monotonic() + timeout_s
        while time.monotonic() < end and any(p.poll() is None for p in self.processes.values()):
            time.sleep(0.01)

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return

    def _on_command(self, index: int, message: Any, info: dict[str, Any]) -> None:
        values = list(message.points[0].positions)
        for joint, value in zip(ROBOT.outputs[index].joints, values, strict=True):
            self.measured[joint.name] = joint.from_wire(value)
        if index == 0:
            age_s = time.time() - info['source_timestamp'] / 1e9
            self.commands.append((time.monotonic() - age_s, values))

    def _on_status(self, name: str, message: Any) -> None:
        self.statuses[name] = json.loads(message.data)

    def _feel(self) -> None:
        if not self.feels:
            return
        stamp = time_message(self.node.get_clock().now().nanoseconds)
        for group, publisher in zip(ROBOT.states, self._states, strict=True):
            message = JointState(name=[joint.wire for joint in group.joints])
            message.position = [j.to_wire(self.measured[j.name]) for j in group.joints]
            message.header.stamp = stamp
            publisher.publish(message)

    def positions(self) -> np.ndarray:
        """Return the left arm's commands so far, ``[N, 7]`` in the robot's units."""
        return np.array([values for _, values in self.commands])


def shared_memory() -> set[Path]:
    """Return Fast DDS's files in ``/dev/shm``."""
    return set(Path('/dev/shm').glob('*fastdds*')) | set(Path('/dev/shm').glob('*fastrtps*'))


def sweep(before: set[Path]) -> int:
    """
    Remove what killed processes left in shared memory; return how many files that were.

    :param before: files that were there before, which are not ours
    """
    mapped = {name for maps in Path('/proc').glob('[0-9]*/maps') for name in _mapped(maps)}
    left = [path for path in shared_memory() - before if str(path) not in mapped]
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


def _mapped(maps: Path) -> set[str]:
    try:
        return {line.split()[-1] for line in maps.read_text().splitlines() if line}
    except OSError:  # the process ended, or is not ours to read
        return set()
