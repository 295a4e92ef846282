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
A day of commands and a million arbitrary chunks, at an accelerated clock.

    .venv/bin/python -m benchmarks.soak

Writes ``benchmarks/results/soak.json``. Four parts: the pure executor follows chunks for 4.3
million commands (a day at 50 Hz), audited; a million random chunks and what goes with them are
thrown at executors of all modes, audited; the real node publishes a hundred thousand commands over
Fast DDS; and cameras, policy and executor run as processes for half an hour of real time. Memory
is compared between a tenth of the way and the end.
"""

import argparse
import os
from pathlib import Path
import time
from typing import Any

from benchmarks.record import merge_rows
from hbvla_ros.core.action import ActionChunk
from hbvla_ros.core.robot import find_robot, RobotSpec
from hbvla_ros.core.share import robots_folder
from hbvla_ros.evaluate.audit import LimitAudit
from hbvla_ros.evaluate.executor_trial import Trial
from hbvla_ros.policy.executor import Command, Executor, ExecutorConfig
from hbvla_ros.policy.plan import MODES, PlanConfig
import numpy as np

TICK_NS = 20_000_000
_TRIAL_CHUNKS = 1000


def resources(process: int | str = 'self') -> dict[str, float]:
    """Return a process's resident memory in MiB, open files, and files in shared memory."""
    pages = int(Path(f'/proc/{process}/statm').read_text().split()[1])
    maps = Path(f'/proc/{process}/maps').read_text().splitlines()
    return {
        'rss_mib': pages * os.sysconf('SC_PAGE_SIZE') / 2**20,
        'files': len(os.listdir(f'/proc/{process}/fd')),
        'shared_memory_files': len({m.split()[-1] for m in maps if '/dev/shm/' in m}),
    }


def growth(early: dict[str, float], late: dict[str, float]) -> dict[str, float]:
    """Return how resources grew."""
    return {
        'rss_drift_percent': round(100 * (late['rss_mib'] / early['rss_mib'] - 1), 3),
        'files': late['files'] - early['files'],
        'shared_memory_files': late['shared_memory_files'] - early['shared_memory_files'],
    }


class Day:
    """An executor that follows a sine, and the audit behind it."""

    def __init__(self, robot: RobotSpec) -> None:
        self._robot = robot
        plan = PlanConfig(mode='overlap_blend')
        self._executor = Executor(robot, ExecutorConfig(plan=plan))
        self._executor.set_enabled(enabled=True)
        self._audit = LimitAudit(robot, 0.02)
        self._state = dict.fromkeys(robot.state_names, 0.0)
        self._now = TICK_NS
        self._phase = np.arange(len(robot.actions)) / 3
        self.commands = 0
        self.problems: list[str] = []

    def run(self, commands: int) -> None:
        """Send so many commands."""
        names = self._robot.action_names
        end = self.commands + commands
        while self.commands < end:
            self._now += TICK_NS
            self._executor.on_state(self._state, self._now)
            if self._now // TICK_NS % 25 == 0:
                times = self._now / 1e9 + 0.04 * np.arange(25)
                rows = 0.3 + 0.2 * np.sin(times[:, None] + self._phase)
                chunk = ActionChunk(actions=rows, stamp_ns=self._now, period_s=0.04)
                self._executor.on_chunk(chunk, names, self._now)
            outcome = self._executor.step(self._now)
            if isinstance(outcome, Command):
                self._judge(outcome)

    def _judge(self, outcome: Command) -> None:
        self.commands += 1
        if self._audit.resting:
            here = np.array([self._state[name] for name in self._robot.action_names])
            self.problems += self._audit.begin(here, outcome.values, self._now)
        else:
            self.problems += self._audit.go_on(outcome.values, self._now)
        self._state = dict(zip(self._robot.action_names, outcome.values.tolist(), strict=True))


def day(robot: RobotSpec, commands: int) -> dict[str, Any]:
    """Soak the pure executor."""
    run, begin = Day(robot), time.monotonic()
    run.run(commands // 10)
    early = resources()
    run.run(commands - commands // 10)
    seconds = time.monotonic() - begin
    return {
        'commands': run.commands,
        'broken_limits': len(run.problems),
        **growth(early, resources()),
        'microseconds_per_command': round(1e6 * seconds / commands, 1),
    }


def million(robot: RobotSpec, chunks: int) -> dict[str, Any]:
    """Throw arbitrary chunks at executors of all modes."""
    problems: list[str] = []
    offered = commands = seed = 0
    early = None
    while offered < chunks:
        modes = list(MODES)
        config = ExecutorConfig(
            plan=PlanConfig(mode=modes[seed % len(modes)]),
            on_stale=('hold', 'decelerate')[seed // len(modes) % 2],
        )
        trial = Trial(robot, config, seed)
        trial.begin()
        while trial.chunks < _TRIAL_CHUNKS:
            trial.run(200)
        problems += trial.problems
        offered, commands, seed = offered + trial.chunks, commands + trial.commands, seed + 1
        if early is None and offered >= chunks // 10:
            early = resources()
    return {
        'chunks': offered,
        'seeds': seed,
        'commands': commands,
        'broken_limits': len(problems),
        'first_problems': problems[:5],
        **growth(early or resources(), resources()),
    }


def node(robot: RobotSpec, commands: int) -> dict[str, Any]:
    """Soak the node: chunks and states through its callbacks, commands over Fast DDS."""
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    from hbvla_ros.ros.action_executor_node import ActionExecutorNode
    import rclpy
    from rclpy.parameter import Parameter

    context = rclpy.Context()
    rclpy.init(args=[], context=context, domain_id=1 + os.getpid() % 101)
    overrides = [Parameter('robot', value=robot.name), Parameter('enable_on_start', value=True)]
    made = ActionExecutorNode(context=context, parameter_overrides=overrides)
    try:
        made.trigger_configure()
        made.trigger_activate()
        sent = _drive(made, robot, commands // 10)
        early = resources()
        sent += _drive(made, robot, commands - commands // 10)
        late = resources()
    finally:
        made.close()
        made.destroy_node()
        rclpy.shutdown(context=context)
    return {'commands': sent, **growth(early, late)}


def _drive(made: Any, robot: RobotSpec, commands: int) -> int:
    """Call the node's callbacks as its executor would, only sooner."""
    sent = 0
    state = dict.fromkeys(robot.state_names, 0.3)
    rows = np.full((25, len(robot.actions)), 0.3)
    core, tick = vars(made)['_executor'], getattr(made, '_on_tick')  # noqa: B009
    while sent < commands:
        now_ns = made.now_ns()
        core.on_state(state, now_ns)
        chunk = ActionChunk(actions=rows, stamp_ns=now_ns, period_s=0.04)
        core.on_chunk(chunk, robot.action_names, now_ns)
        for _ in range(25):
            tick()
        sent += 25
        if sent % 2500 == 0:
            made.publish_report()
    return sent


def processes(minutes: float) -> dict[str, Any]:
    """Soak cameras, policy (a stand-in for the network) and executor over Fast DDS."""
    from benchmarks.robustness.lab import EXECUTOR, Lab, POLICY

    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    lab = Lab(1 + os.getpid() % 101).begin()
    try:
        lab.moving()
        seen = []
        for share in (0.1, 0.9):
            time.sleep(share * minutes * 60)
            use = {name: resources(one.pid) for name, one in lab.processes.items()}
            seen.append(use)
        commands = len(lab.commands)
        lab.moving()
        policy, executor = lab.status(POLICY), lab.status(EXECUTOR)
    finally:
        codes = lab.close()
    early, late = seen
    grown = {name: growth(early[name], late[name]) for name in late}
    largest = {key: max(one[key] for one in grown.values()) for key in grown[EXECUTOR]}
    return {
        'minutes': minutes,
        'commands': commands,
        'frames': {name: one['received'] for name, one in policy['inputs'].items()},
        'holds': executor['holds'],
        **largest,
        'by_process': grown,
        'exit_codes': codes,
    }


def main() -> None:
    """Soak and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--commands', type=int, default=4_300_000)
    parser.add_argument('--chunks', type=int, default=1_000_000)
    parser.add_argument('--node-commands', type=int, default=100_000)
    parser.add_argument('--minutes', type=float, default=30.0)
    parts = ['node', 'million_chunks', 'day', 'processes']
    parser.add_argument('--parts', nargs='*', choices=parts, default=parts)
    arguments = parser.parse_args()
    robot = find_robot('mobile_aloha', robots_folder())
    rows = []
    if 'node' in arguments.parts:
        rows.append({'part': 'node', **node(robot, arguments.node_commands)})
    if 'million_chunks' in arguments.parts:
        rows.append({'part': 'million_chunks', **million(robot, arguments.chunks)})
    if 'day' in arguments.parts:
        rows.append({'part': 'day', **day(robot, arguments.commands)})
    if 'processes' in arguments.parts:
        rows.append({'part': 'processes', **processes(arguments.minutes)})
    merge_rows('soak', [{**row, 'idle_machine': False} for row in rows], ('part',))
    print(*rows, sep='\n')


if __name__ == '__main__':
    main()
