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
Run the network beside the node: observations in, chunks out, late ones discarded.

The network computes in a thread of its own; what it delivers is handled in the thread of the rclpy
executor, woken by a guard condition. When the instruction changes or time goes back, the
prediction that is under way belongs to another world and is dropped when it arrives.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
import time
import traceback
from typing import Any

from hbvla_ros.core.action import ActionChunk
from hbvla_ros.core.errors import HbvlaError
from hbvla_ros.core.observation import Observation
from hbvla_ros.core.robot import RobotSpec
from hbvla_ros.policy.pacing import Pacing
from hbvla_ros.policy.worker import Outcome, Worker
from hbvla_ros.ros import qos
from hbvla_ros.ros.chunks import chunk_message
from hbvla_ros.ros.diagnostics import Durations
from hbvla_ros.ros.managed_node import ManagedNode
from std_msgs.msg import Header
from trajectory_msgs.msg import JointTrajectory

_WARN_S = 5.0  # at most one warning of slow inference in so long
_STOP_S = 10.0  # how long a deactivation waits for the prediction that is under way


@dataclass(frozen=True, eq=False)
class _Request:
    observation: Observation
    generation: int


_Done = Outcome[_Request, tuple[ActionChunk, float]]


class Inference:
    """The network's thread, its pace and its statistics."""

    def __init__(
        self,
        node: ManagedNode,
        robot: RobotSpec,
        predict: Callable[[Observation], ActionChunk],
        pacing: Pacing,
    ) -> None:
        """
        Advertise the chunks; :meth:`start` starts the thread.

        :param node: publishes, reports failures and wakes up for results
        :param robot: names the actions
        :param predict: the network; raises ``HbvlaError`` for what it can't use
        :param pacing: tells when a prediction is due
        """
        self.failing = ''  # why the last prediction gave no chunk; empty if it gave one
        self._node, self._robot, self._predict, self._pacing = node, robot, predict, pacing
        self._generation = 0
        self._offered_ns: int | None = None  # each new sample completes the same images once more
        self._done: deque[_Done] = deque()
        self.on_chunk: Callable[[Observation, float], None] | None = (
            None  # and the seconds it took
        )
        self._chunks = self._discarded = self._failed = self._superseded = self._slow = 0
        self._latency, self._delay = Durations(), Durations()
        self._worker: Worker[_Request, tuple[ActionChunk, float]] | None = None
        self._guard = node.create_guard_condition(self._take_all)
        self._requests = node.subscribe(
            Header, 'chunk_request', self._on_request, qos.CHUNK_REQUEST
        )
        self._publisher = node.create_lifecycle_publisher(
            JointTrajectory, '~/action_chunk', qos.ACTION_CHUNK
        )

    def start(self) -> None:
        """Start the thread; a prediction is due at once, or with the first request."""
        self._pacing.reset()
        self._offered_ns = None
        self._worker = Worker(self._infer, self._deliver, 'hbvla_inference')
        self._worker.start()

    def offer(self, observation: Observation) -> None:
        """Hand an observation to the network if it runs, a prediction is due and it is new."""
        stamp_ns = observation.stamp_ns
        if stamp_ns == self._offered_ns or self._worker is None:
            return
        if self._pacing.is_due(stamp_ns):
            self._offered_ns = stamp_ns
            self._worker.submit(_Request(observation, self._generation))

    def restart(self, now_ns: int | None) -> None:
        """
        Drop what is under way.

        :param now_ns: observations must not be older than this; None after the clock went back
        """
        self._generation += 1
        self._offered_ns = None
        if self._worker is not None:
            self._worker.discard()
        if now_ns is None:
            self._pacing.reset()
        else:
            self._pacing.new_instruction(now_ns)

    def stop(self) -> None:
        """End the thread; what it was computing is dropped."""
        if self._worker is None:
            return
        if not self._worker.stop(_STOP_S):
            self._node.get_logger().warning(
                f'the network is still busy after {_STOP_S:.0f} s; its result will be dropped'
            )
        self._superseded += self._worker.superseded
        self._worker = None
        self._generation += 1

    def close(self) -> None:
        """Stop, and withdraw the chunks."""
        self.stop()
        self._node.destroy_guard_condition(self._guard)
        self._node.destroy_subscription(self._requests)
        self._node.destroy_lifecycle_publisher(self._publisher)

    def summary(self) -> dict[str, Any]:
        """Return counts and latencies as plain JSON values."""
        return {
            'chunks': self._chunks,
            'discarded': self._discarded,
            'failed': self._failed,
            'slow': self._slow,
            'superseded': self._superseded + (self._worker.superseded if self._worker else 0),
            'inference': self._latency.summary(),
            'observation_to_chunk': self._delay.summary(),
        }

    def _on_request(self, message: Any) -> None:
        self._pacing.requested(message.stamp.sec * 10**9 + message.stamp.nanosec)

    def _infer(self, request: _Request) -> tuple[ActionChunk, float]:
        self._pacing.started(request.observation.stamp_ns)
        begin = time.perf_counter()
        chunk = self._predict(request.observation)
        return chunk, time.perf_counter() - begin

    def _deliver(self, outcome: _Done) -> None:
        self._done.append(outcome)
        self._guard.trigger()

    def _take_all(self) -> None:
        while self._done:
            self._take(self._done.popleft())

    def _take(self, outcome: _Done) -> None:
        self._pacing.finished()
        if outcome.item.generation != self._generation:
            self._discarded += 1
        elif isinstance(outcome.error, HbvlaError):
            self._refuse(str(outcome.error))
        elif outcome.error is not None:
            error = outcome.error
            self._node.get_logger().error(''.join(traceback.format_exception(error)))
            self._node.stop_working(f'inference failed: {type(error).__name__}: {error}')
        elif outcome.result is not None:
            self._send(*outcome.result)
            if self.on_chunk is not None:
                self.on_chunk(outcome.item.observation, outcome.result[1])

    def _send(self, chunk: ActionChunk, seconds: float) -> None:
        self._publisher.publish(chunk_message(chunk, self._robot))
        self._chunks += 1
        self.failing = ''
        self._latency.add(seconds)
        self._judge(seconds)
        self._delay.add((self._node.now_ns() - chunk.stamp_ns) / 1e9)

    def _judge(self, seconds: float) -> None:
        """Log each time of inference, and warn where it is longer than the pace allows."""
        pace_s = self._pacing.interval_s
        self._node.get_logger().debug(f'inference took {seconds * 1e3:.1f} ms')
        if self._pacing.on_request or seconds <= pace_s:
            return
        self._slow += 1
        self._node.get_logger().warning(
            f'inference took {seconds * 1e3:.1f} ms, longer than the {pace_s * 1e3:.1f} ms '
            'between two predictions; raise execute_steps or lower inference_rate_hz',
            throttle_duration_sec=_WARN_S,
        )

    def _refuse(self, failure: str) -> None:
        self._failed += 1
        if failure != self.failing:
            self._node.get_logger().warning(f'no chunk: {failure}')
        self.failing = failure
