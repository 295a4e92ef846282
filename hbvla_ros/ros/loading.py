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
Load a policy, check that it fits the robot, and warm it up.

The network is known here only by what the node needs of it, so that the node runs as well with a
stand-in that has no weights.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from hbvla_ros.core.action import ActionChunk
from hbvla_ros.core.errors import ConfigError
from hbvla_ros.core.observation import Observation
from hbvla_ros.core.robot import find_robot, RobotSpec
from hbvla_ros.core.share import robots_folder
from hbvla_ros.policy.pacing import interval_s, Pacing, PacingOnRequest, SYNCHRONOUS
from hbvla_ros.ros.settings import PolicyParameters
import numpy as np

_HEIGHT, _WIDTH = 480, 640


class Policy(Protocol):
    """What the node needs of a policy; ``hbvla_ros.policy.runner.Policy`` has it."""

    @property
    def facts(self) -> Any:
        """Return ``PolicyFacts``: chunk_size, action_dim, proprio_dim, num_images, period_s."""

    @property
    def summary(self) -> dict[str, Any]:
        """Return what was loaded, as plain JSON values."""

    def infer(self, observation: Observation) -> ActionChunk:
        """Predict one chunk; raises ``HbvlaError`` for input or output that can't be used."""

    def examine(self, robot: RobotSpec) -> Sequence[Any]:
        """Return findings with ``name``, ``status``, ``found`` and ``fix``."""


Loader = Callable[..., Policy]


def load_robot(settings: PolicyParameters) -> RobotSpec:
    """Return the robot that the parameters name; raises ``ConfigError`` if there is none."""
    return find_robot(settings.robot, robots_folder())


def load(settings: PolicyParameters, robot: RobotSpec, loader: Loader | None) -> Policy:
    """
    Load the policy that the parameters name.

    :param settings: where it lies and how it should run
    :param robot: that it should move
    :param loader: like ``hbvla_ros.policy.runner.load_policy``, which is used for None
    :raises HbvlaError: if it can't be loaded or is for another robot
    """
    if not settings.model_path:
        raise ConfigError('parameter model_path is empty; give the folder of a packed artifact')
    policy = (loader or _default_loader())(
        Path(settings.model_path),
        backend=settings.backend,
        device=settings.device,
        dtype=settings.dtype,
        activations=settings.activations,
        num_threads=settings.num_threads,
        on_instruction=settings.on_instruction,
    )
    check_fit(policy.facts, robot)
    policy.summary['doctor'] = doctor_report(policy.examine(robot))
    return policy


def doctor_report(findings: Sequence[Any]) -> dict[str, Any]:
    """
    Return what the doctor found, for the node's reports.

    :param findings: of :meth:`Policy.examine`
    :raises ConfigError: if something would make the policy fail silently, with the way to mend it
    """
    told = {
        status: {one.name: f'{one.found}; {one.fix}' for one in findings if one.status == status}
        for status in ('warn', 'fail')
    }
    if told['fail']:
        reasons = '; '.join(f'{name}: {text}' for name, text in told['fail'].items())
        raise ConfigError(f'the policy would not work as trained: {reasons}')
    passed = sum(one.status == 'pass' for one in findings)
    return {'passed': passed, 'warnings': told['warn']}


def _default_loader() -> Loader:
    # Torch takes seconds to import: by now the node can already be seen and told to stop.
    from hbvla_ros.policy.runner import load_policy

    return load_policy


def check_fit(facts: Any, robot: RobotSpec) -> None:
    """
    Compare what the policy was trained on with what the robot has.

    :raises ConfigError: naming both numbers
    """
    for what, wanted, names in (
        ('camera images', facts.num_images, [camera.name for camera in robot.cameras]),
        ('state values', facts.proprio_dim, robot.state_names),
        ('actions', facts.action_dim, robot.action_names),
    ):
        if wanted != len(names):
            raise ConfigError(
                f'the policy has {wanted} {what}, robot {robot.name} has {len(names)}: '
                f'{", ".join(names)}; choose the robot file of the checkpoint'
            )


def pacing_of(facts: Any, settings: PolicyParameters) -> Pacing:
    """
    Return when predictions are due.

    :raises ConfigError: if more rows should be followed than the policy predicts
    """
    if settings.pacing == SYNCHRONOUS:
        return PacingOnRequest()
    interval = interval_s(
        settings.execute_steps,
        settings.inference_rate_hz,
        chunk_size=facts.chunk_size,
        period_s=facts.period_s,
    )
    return Pacing(interval)


def warm_up(policy: Policy, robot: RobotSpec, runs: int) -> None:
    """
    Predict from black images, so that the first real prediction is as fast as the others.

    :param policy: to warm up
    :param robot: says how many images and state values
    :param runs: how often
    :raises HbvlaError: if the policy can't predict
    """
    black = np.zeros((_HEIGHT, _WIDTH, 3), dtype=np.uint8)
    observation = Observation(
        images={camera.name: black for camera in robot.cameras},
        state=np.zeros(len(robot.state_names), dtype=np.float32),
        instruction='warm up',
        stamp_ns=0,
    )
    for _ in range(runs):
        policy.infer(observation)
