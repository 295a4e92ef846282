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
The lifecycle node that predicts: cameras, joint states and instruction in, chunks of actions out.

Configure loads the weights, activate warms the network up and subscribes to the cameras. The node
never commands a robot; it publishes what the policy would do next and when.
"""

import sys
from typing import Any

from hbvla_ros.core.latest import Missing
from hbvla_ros.core.robot import RobotSpec
from hbvla_ros.ros.companions import Companions
from hbvla_ros.ros.diagnostics import Level, Report
from hbvla_ros.ros.inference import Inference
from hbvla_ros.ros.loading import load, load_robot, Loader, pacing_of, Policy, warm_up
from hbvla_ros.ros.managed_node import ACTIVE, ManagedNode
from hbvla_ros.ros.node_main import run
from hbvla_ros.ros.policy_inputs import PolicyInputs
from hbvla_ros.ros.settings import PolicyParameters

_OPERATOR = ('no_instruction', 'bad_instruction')  # waiting for a person is no fault


class PolicyNode(ManagedNode):
    """``hbvla_policy``."""

    def __init__(self, loader: Loader | None = None, **options: Any) -> None:
        """
        Declare the parameters.

        :param loader: loads a policy; None takes ``hbvla_ros.policy.runner.load_policy``
        :param options: passed on to rclpy
        """
        super().__init__('hbvla_policy', PolicyParameters, **options)
        self._loader = loader
        self._robot: RobotSpec | None = None
        self._policy: Policy | None = None
        self._inputs: PolicyInputs | None = None
        self._inference: Inference | None = None
        self._companions: Companions | None = None
        self._warmup_runs = 0

    def configure(self) -> None:
        """Load robot file and weights, then subscribe to all but the cameras."""
        settings = self.settings(PolicyParameters)
        self._robot = load_robot(settings)
        self._policy = load(settings, self._robot, self._loader)
        pacing = pacing_of(self._policy.facts, settings)
        self._warmup_runs = settings.warmup_runs
        self._inference = Inference(self, self._robot, self._policy.infer, pacing)
        self._companions = Companions(
            self, settings, self._policy, self._inference, self._on_damage
        )
        self._inputs = PolicyInputs(self, self._robot, settings, self._on_sample, self._on_restart)

    def activate(self) -> None:
        """Warm up, start the network's thread and subscribe to the cameras."""
        assert self._robot
        assert self._policy
        assert self._inputs
        assert self._inference
        warm_up(self._policy, self._robot, self._warmup_runs)
        self._inference.start()
        if self._companions:
            self._companions.start()
        self._inputs.open_cameras()

    def deactivate(self) -> None:
        """Fall silent, unsubscribe from the cameras and stop the network's thread."""
        if self._companions:
            self._companions.stop()
        if self._inputs and self._inference:
            self._inputs.close_cameras()
            self._inference.stop()

    def cleanup(self) -> None:
        """Give the weights back."""
        if self._inputs:
            self._inputs.close()
        if self._inference:
            self._inference.close()
        if self._companions:
            self._companions.close()
        self._robot = self._policy = self._inputs = self._inference = self._companions = None

    def report(self) -> Report:
        """Say whether chunks flow, and if not, what is missing."""
        assert self._robot
        assert self._policy
        assert self._inputs
        assert self._inference
        values = {
            'robot': self._robot.name,
            'policy': self._policy.summary,
            **self._inputs.summary(),
            **self._inference.summary(),
            **(self._companions.summary() if self._companions else {}),
        }
        if self.state != ACTIVE:
            return Report(Level.WARN, self.state, values)
        seen = self._inputs.observe(self.now_ns())
        if isinstance(seen, Missing):
            level = Level.WARN if seen.reason in _OPERATOR else Level.ERROR
            return Report(level, seen.detail, {**values, 'waiting': seen.reason})
        if self._inference.failing:
            return Report(Level.ERROR, self._inference.failing, values)
        return Report(Level.OK, 'predicting', values)

    def _on_sample(self) -> None:
        if self.state != ACTIVE or not self._inputs or not self._inference:
            return
        seen = self._inputs.observe(self.now_ns())
        if not isinstance(seen, Missing):
            self._inference.offer(seen)

    def _on_damage(self, tensor: str) -> None:
        self.stop_working(
            f'the weights changed in memory ({tensor}); clean up and configure to load them again'
        )

    def _on_restart(self, now_ns: int | None) -> None:
        if self._inference:
            self._inference.restart(now_ns)
        self.publish_report()


def main(args: list[str] | None = None) -> int:
    """Run the node until it is told to stop."""
    return run(PolicyNode, args)


if __name__ == '__main__':
    sys.exit(main())
