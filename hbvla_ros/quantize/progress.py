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
How far a job is, how long the rest of its stage will take, and where its time went.

Blocks differ a hundredfold in size, so what is left is judged by weights, not by blocks. Time is
passed in; nothing here knows models or torch.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
import contextlib
from dataclasses import dataclass
import json
from pathlib import Path
import time

from hbvla_ros.core.page import write_whole

_RECENT = 4  # steps whose speed counts: blocks that were done before take no time


@dataclass(frozen=True, slots=True)
class Progress:
    """
    How far a job is: ``done`` of ``total`` steps, the stage and what just happened.

    ``stage_done`` of ``stage_total`` steps of the stage are done, which are ``stage_share`` of its
    work. ``error`` is the mean relative output error of the layers that are quantized so far.
    """

    done: int
    total: int
    stage: str
    detail: str
    stage_done: int = 1
    stage_total: int = 1
    stage_share: float = 1.0
    layers_done: int = 0
    layers_total: int = 0
    error: float | None = None


class TimeLeft:
    """Estimates when the present stage will be over, from the speed of its last steps."""

    def __init__(self, now_s: float) -> None:
        """Start at a time, in s."""
        self._stage = ''
        self._last_s = now_s
        self._steps: deque[tuple[float, float]] = deque(maxlen=_RECENT + 1)

    def update(self, progress: Progress, now_s: float) -> float | None:
        """
        Take in a step that has just been done.

        :param progress: of the job
        :param now_s: from the same clock as before
        :return: seconds until the stage is over; None as long as nothing is known
        """
        if progress.stage != self._stage:
            self._stage = progress.stage
            self._steps.clear()
            self._steps.append((self._last_s, 0.0))
        self._last_s = now_s
        self._steps.append((now_s, progress.stage_share))
        (start_s, before), share = self._steps[0], progress.stage_share
        if not share > before:
            return None
        return max(0.0, (now_s - start_s) * (1 - share) / (share - before))


class StepCounter:
    """Makes the :class:`Progress` of each step of a job and measures its stages."""

    def __init__(self, work: Mapping[str, Sequence[float]], layers: int) -> None:
        """
        Lay out the job.

        :param work: by stage, in order, how much each of its steps takes, in any unit
        :param layers: how many will be quantized
        """
        self._work, self._layers = work, layers
        self._done = -1  # the first step, loading, is done when it is told
        self._stage = ''
        self._in_stage = 0
        self._layers_done = 0
        self._errors = 0.0

    def step(self, stage: str, detail: str, layers: int = 0, error: float = 0.0) -> Progress:
        """
        Count a step that has just been done.

        :param stage: one of those laid out
        :param detail: what happened
        :param layers: how many were quantized in it
        :param error: their mean relative output error
        """
        self._in_stage = self._in_stage + 1 if stage == self._stage else 1
        self._stage = stage
        self._done += 1
        self._layers_done += layers
        self._errors += layers * error
        work = self._work[stage]
        return Progress(
            done=self._done,
            total=sum(len(steps) for steps in self._work.values()) - 1,
            stage=stage,
            detail=detail,
            stage_done=self._in_stage,
            stage_total=len(work),
            stage_share=sum(work[: self._in_stage]) / sum(work),
            layers_done=self._layers_done,
            layers_total=self._layers,
            error=self._errors / self._layers_done if self._layers_done else None,
        )


class StageSeconds:
    """
    Adds up the time of each stage; a job that goes on later adds to what it took before.

    The sums are written to a file after every step; that it can't be written is no reason to end
    a job.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """Start the clock, which gives seconds."""
        self._clock = clock
        self._since = clock()
        self._file: Path | None = None
        self.seconds: dict[str, float] = {}

    def keep(self, file: Path) -> None:
        """Go on from what a file says, if it is there, and write to it from now on."""
        self._file = file
        with contextlib.suppress(OSError, ValueError, AttributeError, TypeError):
            for stage, seconds in json.loads(file.read_text(encoding='utf-8')).items():
                self.seconds[stage] = self.seconds.get(stage, 0.0) + float(seconds)

    def note(self, stage: str) -> None:
        """Count the time since the last note to a stage."""
        now = self._clock()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._since
        self._since = now
        if self._file is not None:
            with contextlib.suppress(OSError):
                write_whole(self._file, json.dumps(self.seconds))


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """
    How a job ran.

    ``seconds`` by stage, those of runs that were interrupted included; ``resumed_blocks`` were
    done before; ``difference`` is the largest one of packed and dense actions. ``robots`` is the
    folder of the robot files.
    """

    seconds: Mapping[str, float]
    resumed_blocks: int
    difference: float
    robots: Path | None = None


def progress_line(progress: Progress, left_s: float | None) -> str:
    """Return a step as one line for a log: where it is, the error so far, the time left."""
    parts = [f'{progress.done}/{progress.total} {progress.stage}: {progress.detail}']
    if progress.stage_total > 1:
        parts.append(f'{progress.stage_done} of {progress.stage_total}')
    if progress.layers_done:
        parts.append(f'{progress.layers_done} of {progress.layers_total} layers')
    if progress.error is not None:
        parts.append(f'mean output error {progress.error:.4f}')
    if left_s is not None and progress.stage_done < progress.stage_total:
        parts.append(f'{duration(left_s)} left of this stage')
    return '; '.join(parts)


def duration(seconds: float) -> str:
    """Return a time for the eye: ``12 s``, ``3 min 20 s`` or ``5 h 02 min``."""
    whole = round(seconds)
    if whole < 1:
        return 'under 1 s'
    if whole < 60:
        return f'{whole} s'
    if whole < 3600:
        return f'{whole // 60} min {whole % 60:02d} s'
    return f'{whole // 3600} h {whole % 3600 // 60:02d} min'
