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
Episodes in terms of a robot and of a policy: observations, and the actions that followed.

Cameras match by name. Columns match by name where the data name them as the robot file does, else
by order; their units are taken as they are (rad, grippers 0 closed .. 1 open).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hbvla_ros.core.episodes.episode import Episode
from hbvla_ros.core.errors import CalibrationError, ConfigError
from hbvla_ros.core.observation import Observation
from hbvla_ros.core.robot import DELTA, RobotSpec
import numpy as np
from numpy.typing import NDArray

_SAME_PERIOD = 1e-3  # relative difference of time steps that counts as none


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkShape:
    """What a policy predicts: ``chunk_size`` rows, ``period_s`` apart."""

    chunk_size: int
    period_s: float

    def __post_init__(self) -> None:
        if not (self.chunk_size >= 1 and self.period_s > 0):
            raise ConfigError(
                f'a chunk has at least one row and a positive period, got {self.chunk_size} rows '
                f'every {self.period_s} s'
            )


def observation_at(episode: Episode, index: int, robot: RobotSpec) -> Observation:
    """
    Return what the robot saw at one step.

    :param episode: may have more cameras than the robot
    :param index: 0 .. ``episode.length - 1``
    :param robot: names cameras and joints, in its order
    :return: its stamp counts from the beginning of the episode
    :raises CalibrationError: if a camera is missing, the state has another width or a picture
        can't be decoded
    """
    names = [camera.name for camera in robot.cameras]
    missing = [name for name in names if name not in episode.cameras]
    if missing:
        raise CalibrationError(
            f'{episode.name} lacks the cameras {missing} of robot {robot.name}; it has '
            f'{list(episode.cameras)}; name the cameras of a robot file as the data do'
        )
    columns = _columns(episode, 'state', episode.state_names, robot.state_names)
    return Observation(
        images={name: episode.frame(name, index) for name in names},
        state=episode.state[index, columns],
        instruction=episode.instruction,
        stamp_ns=round(index * episode.period_s * 1e9),
    )


def actions_after(
    episode: Episode, index: int, robot: RobotSpec, shape: ChunkShape
) -> NDArray[np.float32] | None:
    """
    Return the recorded actions that a policy should have predicted at one step.

    Row ``k`` is the recorded action nearest to ``k * shape.period_s`` after the step. Beyond the
    end of the episode a position keeps its last value and a delta is zero, as a robot that holds.

    :param episode: the recording
    :param index: the step of the observation, 0 .. ``episode.length - 1``
    :param robot: names the actions and says which are deltas
    :param shape: rows and time step of the policy
    :return: ``float32 [chunk_size, A]`` in the units of the robot file; None if the episode has no
        actions
    :raises CalibrationError: if the actions have another width, or are deltas that were recorded
        with another time step: such deltas can't be picked, they would have to be added up
    """
    if episode.action is None:
        return None
    columns = _columns(episode, 'action', episode.action_names, robot.action_names)
    delta = np.array([action.kind == DELTA for action in robot.actions])
    ratio = shape.period_s / episode.period_s
    if delta.any() and abs(ratio - 1) > _SAME_PERIOD:
        raise CalibrationError(
            f'{episode.name} was recorded every {episode.period_s:g} s, the policy acts every '
            f'{shape.period_s:g} s, and robot {robot.name} has delta actions, which belong to '
            'their time step; bring data with the same one'
        )
    rows = index + np.floor(np.arange(shape.chunk_size) * ratio + 0.5).astype(int)
    last = episode.length - 1
    chunk: NDArray[np.float32] = episode.action[np.minimum(rows, last)][:, columns]
    chunk[np.ix_(rows > last, delta)] = 0
    return chunk


def _columns(
    episode: Episode, what: str, names: Sequence[str], wanted: Sequence[str]
) -> list[int]:
    """Return which columns of the data are the robot's, in the robot's order."""
    table = episode.state if what == 'state' else episode.action
    width = 0 if table is None else table.shape[1]
    if width != len(wanted):
        known = f' ({", ".join(names)})' if names else ''
        raise CalibrationError(
            f'{episode.name}: {what} has {width} dimensions{known}, the robot file has '
            f'{len(wanted)} ({", ".join(wanted)})'
        )
    if sorted(names) == sorted(wanted):
        return [names.index(name) for name in wanted]
    return list(range(width))
