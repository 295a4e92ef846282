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
Keep the newest sample of every source and put consistent observations together.

Times are nanoseconds of one timeline that the caller chooses (header stamps or receive times) and
passes in; nothing here reads a clock. A stamp that goes back by more than ``CLOCK_RESET_NS`` means
that time itself was reset (a bag that loops, a simulator that restarts): everything is forgotten.
"""

from dataclasses import dataclass

from hbvla_ros.core.errors import ConfigError
from hbvla_ros.core.observation import check_image, check_instruction, Observation
from hbvla_ros.core.robot import RobotSpec
import numpy as np
from numpy.typing import NDArray

CLOCK_RESET_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshnessConfig:
    """How old and how far apart the parts of one observation may be, in seconds."""

    max_image_age_s: float = 0.2
    max_state_age_s: float = 0.1
    max_sync_skew_s: float = 0.05

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not getattr(self, name) > 0:
                raise ConfigError(f'{name} must be positive, got {getattr(self, name)}')


@dataclass(frozen=True, slots=True)
class Missing:
    """Why there is no observation now: a short ``reason`` to count and a ``detail`` to read."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True, eq=False)
class _Sample:
    value: NDArray[np.uint8] | NDArray[np.float32]
    stamp_ns: int


class ObservationAssembler:
    """Newest image per camera, newest values per joint topic, and the instruction."""

    def __init__(self, robot: RobotSpec, freshness: FreshnessConfig) -> None:
        """
        Start empty.

        :param robot: which cameras and joint topics make an observation
        :param freshness: how old and how far apart its parts may be
        """
        self._robot = robot
        self._freshness = freshness
        self._samples: dict[str, _Sample] = {}
        self.instruction = ''
        self.resets = 0  # how often time went back

    def add_image(self, camera: str, image: NDArray[np.uint8], stamp_ns: int) -> bool:
        """
        Take an image; it must not be changed afterwards.

        :return: False if it was older than the one already there
        :raises ObservationError: if it is not ``uint8 [H, W, 3]``
        """
        check_image(camera, image)
        return self._add(f'image {camera}', _Sample(image, stamp_ns))

    def add_state(self, topic: str, values: NDArray[np.float32], stamp_ns: int) -> bool:
        """
        Take the values of one joint topic, in the order of the robot file.

        :return: False if they were older than the ones already there
        """
        return self._add(f'state {topic}', _Sample(values, stamp_ns))

    def set_instruction(self, text: str) -> bool:
        """
        Take an instruction.

        :return: True if it differs from the one before
        :raises ObservationError: if it is empty or too long; the one before is dropped as well,
            because the operator wanted something else and the robot must not go on with the old
        """
        before, self.instruction = self.instruction, ''
        self.instruction = check_instruction(text)
        return self.instruction != before

    def clear(self) -> None:
        """Forget all samples (not the instruction)."""
        self._samples.clear()

    def assemble(self, now_ns: int) -> Observation | Missing:
        """
        Build the observation of this instant.

        :param now_ns: the present, on the timeline of the stamps
        :return: the observation, or what it lacks
        """
        images = [(camera.name, f'image {camera.name}') for camera in self._robot.cameras]
        states = [f'state {group.topic}' for group in self._robot.states]
        missing = self._first_problem([key for _, key in images], states, now_ns)
        if missing is not None:
            return missing
        pictures = {name: self._samples[key] for name, key in images}
        values = [self._samples[key].value for key in states]
        return Observation(
            images={name: np.asarray(s.value, np.uint8) for name, s in pictures.items()},
            state=np.concatenate(values).astype(np.float32) if values else np.zeros(0, np.float32),
            instruction=self.instruction,
            stamp_ns=min(sample.stamp_ns for sample in pictures.values()),
        )

    def _first_problem(self, images: list[str], states: list[str], now: int) -> Missing | None:
        if not self.instruction:
            return Missing('no_instruction', f'nothing on {self._robot.instruction_topic} yet')
        for keys, limit_s in (
            (images, self._freshness.max_image_age_s),
            (states, self._freshness.max_state_age_s),
        ):
            for key in keys:
                if key not in self._samples:
                    return Missing(f'no_{key.replace(" ", "_", 1)}', f'{key}: nothing received')
                problem = _age_problem(key, (now - self._samples[key].stamp_ns) / 1e9, limit_s)
                if problem is not None:
                    return problem
        stamps = [self._samples[key].stamp_ns for key in images]
        skew_s = (max(stamps) - min(stamps)) / 1e9
        if skew_s > self._freshness.max_sync_skew_s:
            return Missing('camera_skew', f'the images are {skew_s * 1e3:.0f} ms apart')
        return None

    def _add(self, key: str, sample: _Sample) -> bool:
        last = self._samples.get(key)
        if last is not None and sample.stamp_ns < last.stamp_ns:
            if last.stamp_ns - sample.stamp_ns < CLOCK_RESET_NS:
                return False
            self.clear()
            self.resets += 1
        self._samples[key] = sample
        return True


def _age_problem(key: str, age_s: float, limit_s: float) -> Missing | None:
    source = key.replace(' ', '_', 1)
    if age_s > limit_s:
        return Missing(
            f'stale_{source}', f'{key} is {age_s * 1e3:.0f} ms old (limit {limit_s * 1e3:.0f} ms)'
        )
    if age_s < -limit_s:  # it would look fresh for as long as its clock is ahead
        return Missing(
            f'future_{source}',
            f'{key} is {-age_s * 1e3:.0f} ms ahead of the clock; check use_sim_time, timeline',
        )
    return None
