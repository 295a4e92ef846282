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
Throw arbitrary events at an action executor and audit every command that comes out.

One trial is a seeded sequence of chunks (sane, absurd, late, early, duplicate, mislabelled),
measured states (inside, outside, not finite), enabling, stops, instructions, clocks that go back
and policies that vanish, at uneven ticks. The tests run a few hundred, the benchmark a million
chunks.
"""

from dataclasses import dataclass, field
from typing import Any

from hbvla_ros.core.action import ActionChunk
from hbvla_ros.core.errors import ActionError, ObservationError
from hbvla_ros.core.robot import RobotSpec
from hbvla_ros.evaluate.audit import LimitAudit
from hbvla_ros.policy.executor import Command, Executor, ExecutorConfig
import numpy as np
from numpy.typing import NDArray

MS = 1_000_000
_EVENTS = ('tick', 'chunk', 'measure', 'enable', 'estop', 'instruct', 'back', 'policy', 'pause')
_WEIGHTS = np.array([50, 20, 20, 4, 1, 2, 1, 2, 2], dtype=np.float64)


@dataclass
class Trial:
    """
    One executor under arbitrary events.

    ``problems`` are broken limits and broken promises, in words; ``commands`` and ``chunks`` count
    what was sent and offered.
    """

    robot: RobotSpec
    config: ExecutorConfig
    seed: int
    problems: list[str] = field(default_factory=list)
    chunks: int = 0

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self._executor = Executor(self.robot, self.config)
        self._executor.set_enabled(enabled=True)
        self._audit = LimitAudit(self.robot, self.config.control_period_s)
        self._period_ns = round(self.config.control_period_s * 1e9)
        self._now = 1_000 * MS
        self._state: NDArray[np.float64] = np.full(len(self.robot.actions), np.nan)
        self._reach = np.array([a.max_velocity for a in self.robot.actions])
        self._reach *= self.config.control_period_s
        self._lower = np.array([action.lower for action in self.robot.actions])
        self._upper = np.array([action.upper for action in self.robot.actions])

    @property
    def commands(self) -> int:
        """Return how many commands were sent."""
        return self._audit.commands

    def begin(self) -> None:
        """Make the run begin in motion."""
        self._see(self._rng.uniform(self._lower, self._upper))
        self._offer(np.tile(self._state, (25, 1)), 0)
        self.tick(0)

    def run(self, events: int) -> list[str]:
        """
        Let so many events happen.

        :return: all problems so far
        """
        chosen = self._rng.choice(len(_EVENTS), size=events, p=_WEIGHTS / _WEIGHTS.sum())
        for index in chosen:
            getattr(self, _EVENTS[index])()
        return self.problems

    def tick(self, wait_ns: int | None = None) -> None:
        """Let time pass and audit what is sent."""
        if wait_ns is None:
            uneven = int(self._rng.integers(0, 3 * self._period_ns))
            wait_ns = self._period_ns if self._rng.random() < 0.7 else uneven
        self._now += wait_ns
        outcome = self._executor.step(self._now)
        if not isinstance(outcome, Command):
            if outcome is not None:
                self._audit.rest()
            return
        self._judge(outcome)

    def _judge(self, outcome: Command) -> None:
        if outcome.hold is not None:
            if self._audit.resting:
                self._say('a safety command without a motion before it')
            elif self._executor.moving:  # still braking
                self._say(*self._audit.go_on(outcome.values, self._now))
            else:
                self._audit.rest()
            return
        if self._executor.estopped or self._executor.paused or not self._executor.enabled:
            self._say('a motion command while stopped')
        if self._audit.resting:
            self._say(*self._audit.begin(self._state, outcome.values, self._now))
        else:
            self._say(*self._audit.go_on(outcome.values, self._now))

    def chunk(self) -> None:
        """Offer a chunk of some kind."""
        kind = self._rng.integers(0, 8)
        base = self._state if np.isfinite(self._state).all() else self._lower
        rows = self._near(base)
        if kind == 0:
            rows = rows * 10.0 ** self._rng.integers(-3, 12)
        elif kind == 1:
            rows = self._rng.uniform(self._lower - 1, self._upper + 1, rows.shape)
        elif kind == 2:
            rows[self._rng.integers(len(rows))] = self._rng.choice([np.nan, np.inf, -np.inf])
        elif kind == 3:
            rows = rows[:, :-1]
        age_ms = int(self._rng.choice([0, 20, 100, 300, 900, 3000, -50, -500]))
        self._offer(rows, age_ms)

    def measure(self) -> None:
        """Publish a measured state, perhaps outside of the limits or not finite."""
        wide = self._reach * self._rng.choice([0.0, 0.5, 3.0])
        values = self._rng.uniform(self._lower - wide, self._upper + wide)
        if self._rng.random() < 0.6 and np.isfinite(self._state).all():
            values = self._state + self._rng.normal(size=len(values)) * 0.01
        if self._rng.random() < 0.1:
            values[self._rng.integers(len(values))] = np.nan
        self._see(values)

    def enable(self) -> None:
        """Enable or disable motion."""
        self._executor.set_enabled(enabled=bool(self._rng.random() < 0.8))

    def pause(self) -> None:
        """Pause or resume."""
        self._executor.set_paused(self._now, paused=bool(self._rng.random() < 0.3))

    def estop(self) -> None:
        """Stop, check that it is latched, and release it some ticks later."""
        self._executor.estop('trial')
        self.tick()
        self._executor.set_enabled(enabled=True)
        self.tick()
        self._executor.reset()
        self._executor.set_enabled(enabled=True)

    def instruct(self) -> None:
        """Change the instruction."""
        self._executor.on_instruction(f'task {self._rng.integers(3)}', self._now)

    def back(self) -> None:
        """Let the clock go back."""
        self._now -= int(self._rng.integers(1, 900)) * MS
        if isinstance(self._executor.step(self._now), Command):
            self._say('a command after the clock went back')
        self._audit.rest()
        self._state = np.full(len(self._state), np.nan)

    def policy(self) -> None:
        """Let the policy vanish or come back."""
        self._executor.on_policy(self._now, alive=bool(self._rng.random() < 0.7))

    def _near(self, start: NDArray[np.float64]) -> NDArray[np.float64]:
        walk = self._rng.normal(size=(25, len(start))) * 10.0 ** self._rng.integers(-3, 0)
        rows: NDArray[np.float64] = start + np.cumsum(walk, axis=0)
        return rows

    def _offer(self, rows: NDArray[np.float64], age_ms: int) -> None:
        self.chunks += 1
        stamp = self._now - age_ms * MS
        try:
            chunk = ActionChunk(actions=rows, stamp_ns=stamp, period_s=0.04)
        except ActionError as error:
            self._executor.drop_chunk(str(error))
            return
        self._executor.on_chunk(chunk, self.robot.action_names, self._now)

    def _see(self, values: NDArray[np.float64]) -> None:
        named: dict[str, Any] = dict(zip(self.robot.action_names, values.tolist(), strict=True))
        try:
            self._executor.on_state(named, self._now)
        except ObservationError:
            return
        self._state = values.copy()

    def _say(self, *problems: str) -> None:
        self.problems += [f'seed {self.seed}: {problem}' for problem in problems]
