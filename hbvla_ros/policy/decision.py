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

"""What an action executor decides: a command to send, or the reason to send none."""

from dataclasses import dataclass, field
from enum import Enum

from hbvla_ros.core.errors import ConfigError
from hbvla_ros.policy.plan import PlanConfig
import numpy as np
from numpy.typing import NDArray


class Hold(Enum):
    """Why the robot is not moved."""

    ESTOP = 'estop'
    DISABLED = 'disabled'
    PAUSED = 'paused'
    CLOCK_RESET = 'clock_reset'
    NEW_INSTRUCTION = 'new_instruction'
    POLICY_LOST = 'policy_lost'
    NO_CHUNK = 'no_chunk'
    STALE_CHUNK = 'stale_chunk'
    NO_STATE = 'no_state'
    STALE_STATE = 'stale_state'
    OUTSIDE_LIMITS = 'outside_limits'


HOLD, DECELERATE = 'hold', 'decelerate'
ON_STALE = (HOLD, DECELERATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorConfig:
    """
    How often commands are given, how old their inputs may be, and how motion ends.

    ``preview_points`` commands ahead are computed with each one, for controllers that follow
    trajectories. ``on_stale`` says what happens when chunks or states end: ``hold`` repeats the
    last command once, ``decelerate`` brakes to it within the acceleration limits.
    """

    control_period_s: float = 0.02
    max_chunk_age_s: float = 2.0
    max_state_age_s: float = 0.5
    on_stale: str = HOLD
    preview_points: int = 0
    plan: PlanConfig = field(default_factory=PlanConfig)

    def __post_init__(self) -> None:
        for name in ('control_period_s', 'max_chunk_age_s', 'max_state_age_s'):
            if not getattr(self, name) > 0:
                raise ConfigError(f'{name} must be positive, got {getattr(self, name)}')
        if self.on_stale not in ON_STALE:
            raise ConfigError(f'on_stale is one of {", ".join(ON_STALE)}, got {self.on_stale!r}')


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Command:
    """
    What to send now.

    ``values`` is ``float64 [A]`` in the units of the robot file. ``hold`` is set on the commands
    that end a motion. ``chunk_stamp_ns`` is set on the first command of each chunk. ``ahead`` are
    the commands that follow, one control period apart, if nothing new arrives.
    """

    values: NDArray[np.float64]
    hold: Hold | None = None
    chunk_stamp_ns: int | None = None
    ahead: tuple[NDArray[np.float64], ...] = ()
