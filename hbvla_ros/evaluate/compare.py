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
How far apart two policies are on the same observations: numbers in, plain JSON values out.

Both see what was recorded, so this is open loop: it tells how much binarization changes the
answers, and nothing about success. It knows neither networks nor files.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from hbvla_ros.core.normalization import Scaling
from hbvla_ros.core.robot import ActionSpec
import numpy as np
from numpy.typing import NDArray

Chunks = NDArray[np.float64]
_GRIPPER = 'gripper'


def compare(
    first: Chunks,
    second: Chunks,
    scaling: Scaling,
    actions: Sequence[ActionSpec],
    stretches: Sequence[tuple[Chunks, Chunks]],
) -> dict[str, Any]:
    """
    Compare two policies.

    :param first: normalised answers of one, ``[N, chunk_size, A]``
    :param second: those of the other on the same observations
    :param scaling: of both
    :param actions: of the robot
    :param stretches: executed actions ``[T, A]`` of both along a recording, normalised; none if
        the observations do not follow each other
    :return: error per joint in both units, jerk, grippers
    """
    unit = np.abs(first - second)
    physical = [scaling.unnormalize(chunks) for chunks in (first, second)]
    away = np.abs(physical[0] - physical[1])
    grippers = [number for number, action in enumerate(actions) if _GRIPPER in action.name]
    arm = [number for number in range(len(actions)) if number not in grippers]
    return {
        'observations': len(first),
        'chunk_size': first.shape[1],
        'mean_error': float(unit.mean()),
        'largest_error': float(unit.max()),
        'joints': [
            {
                'name': action.name,
                'mean_error': float(unit[..., number].mean()),
                'mean_error_physical': float(away[..., number].mean()),
                'largest_error_physical': float(away[..., number].max()),
            }
            for number, action in enumerate(actions)
        ],
        'jerk': jerk([(one[:, arm], other[:, arm]) for one, other in stretches]),
        'grippers': [
            _gripper(actions[n], physical[0][..., n], physical[1][..., n]) for n in grippers
        ],
    }


def jerk(stretches: Sequence[tuple[Chunks, Chunks]]) -> dict[str, Any]:
    """
    Compare mean absolute third differences of executed actions.

    :param stretches: ``[T, A]`` of both policies, normalised, one row per time step
    :return: ``first``, ``second`` (per step cubed), their ``ratio`` and the number of ``steps``;
        ``not_measured`` with the reason where nothing follows on anything
    """
    thirds = [[np.abs(np.diff(one, n=3, axis=0)) for one in pair] for pair in stretches]
    steps = sum(len(one) for one, _ in thirds)
    if steps == 0:
        return {'not_measured': 'needs a recording whose observations follow each other'}
    first, second = (
        float(np.concatenate([pair[which] for pair in thirds]).mean()) for which in (0, 1)
    )
    if not second > 0:
        return {'not_measured': 'the actions of the second policy have no jerk'}
    return {'first': first, 'second': second, 'ratio': first / second, 'steps': steps}


def executed(chunks: Chunks, stamps_ns: NDArray[np.int64], period_s: float) -> Iterator[Chunks]:
    """
    Join chunks to the actions that an executor would follow: at each step the newest chunk's row.

    :param chunks: ``[N, chunk_size, A]``
    :param stamps_ns: of their observations, int64 ``[N]``; a smaller one begins another episode
    :param period_s: time step of the rows
    :return: one ``[T, A]`` per stretch; where the next observation is further away than a chunk is
        long, a new one begins
    """
    period = round(period_s * 1e9)
    gaps = np.diff(stamps_ns)
    apart = (gaps <= 0) | (gaps > chunks.shape[1] * period)
    for members in np.split(np.arange(len(chunks)), np.flatnonzero(apart) + 1):
        stamps = stamps_ns[members]
        times = np.arange(stamps[0], stamps[-1] + 1, period)
        # Stamps of cameras jitter: a frame that is due by a hundredth of a step counts as there.
        near = times + period // 100
        newest = np.searchsorted(stamps, near, side='right') - 1
        rows = np.minimum((near - stamps[newest]) // period, chunks.shape[1] - 1)
        joined: Chunks = chunks[members[newest], rows]
        yield joined


def _gripper(action: ActionSpec, first: Chunks, second: Chunks) -> dict[str, Any]:
    """Compare ``[N, chunk_size]``: on which side of the middle of the range a gripper is."""
    middle = (action.lower + action.upper) / 2
    sides = [values > middle for values in (first, second)]
    return {
        'name': action.name,
        'rows': first.size,
        'differ': int((sides[0] != sides[1]).sum()),
        'flips_first': int(np.diff(sides[0], axis=1).sum()),
        'flips_second': int(np.diff(sides[1], axis=1).sum()),
    }
