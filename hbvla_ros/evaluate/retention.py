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
What counts of successes say: intervals, and how two policies compare on the same episodes.

Pure numbers. Sources: Wilson, J. Am. Stat. Assoc. 22 (1927) 209; McNemar, Psychometrika 12 (1947)
153, the exact test; Bonett and Price, Biom. J. 48 (2006) 1, interval of a ratio of paired shares.
"""

from collections.abc import Mapping
from dataclasses import dataclass
import math

from hbvla_ros.core.errors import ConfigError

Z95 = 1.959963984540054  # two-sided 95% of the normal distribution


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """
    Two policies on the same episodes.

    ``retention`` is the ratio of their successes, ``low`` and ``high`` its 95% interval; all NaN
    where the reference never succeeds. ``lost`` and ``gained`` count episodes with another outcome
    and ``p_value`` is the exact probability of so uneven a split by chance.
    """

    episodes: int
    retention: float
    low: float
    high: float
    lost: int
    gained: int
    p_value: float


def wilson_interval(successes: int, episodes: int, z: float = Z95) -> tuple[float, float]:
    """
    Return the interval of a success rate.

    :param successes: 0 .. ``episodes``
    :param episodes: at least 1
    :param z: quantile of the normal distribution
    :raises ConfigError: for counts that make no sense
    """
    if not 0 <= successes <= episodes or episodes < 1:
        raise ConfigError(f'{successes} successes of {episodes} episodes make no rate')
    share, spread = successes / episodes, z * z / episodes
    centre = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt((share * (1 - share) + spread / 4) / episodes) / (1 + spread)
    # Rounding must not push a bound past an end that it reaches exactly.
    low = 0.0 if successes == 0 else centre - half
    return low, 1.0 if successes == episodes else centre + half


def mcnemar_exact(lost: int, gained: int) -> float:
    """
    Return the two-sided probability that chance alone splits the changed episodes so unevenly.

    :param lost: successes of the reference alone
    :param gained: successes of the other alone
    """
    changed, least = lost + gained, min(lost, gained)
    tail = sum(math.comb(changed, k) for k in range(least + 1))
    return min(1.0, float(2 * tail / 2**changed))


def paired(reference: Mapping[int, bool], other: Mapping[int, bool]) -> Paired:
    """
    Compare outcomes on the seeds that both have.

    :param reference: success by seed
    :param other: success by seed
    """
    seeds = reference.keys() & other.keys()
    both = sum(reference[seed] and other[seed] for seed in seeds)
    lost = sum(reference[seed] and not other[seed] for seed in seeds)
    gained = sum(other[seed] and not reference[seed] for seed in seeds)
    low, high = _ratio_interval(both, lost, gained)
    return Paired(
        episodes=len(seeds),
        retention=(both + gained) / (both + lost) if both + lost else math.nan,
        low=low,
        high=high,
        lost=lost,
        gained=gained,
        p_value=mcnemar_exact(lost, gained),
    )


def _ratio_interval(both: int, lost: int, gained: int) -> tuple[float, float]:
    """Return the interval of ``(both + gained) / (both + lost)``."""
    ours, theirs, any_of = both + gained, both + lost, both + lost + gained
    if not theirs:
        return math.nan, math.nan
    a = math.sqrt((lost + gained + 2) / ((ours + 1) * (theirs + 1)))
    b, c = (math.sqrt((1 - (x + 1) / (any_of + 2)) / (x + 1)) for x in (ours, theirs))
    z = a / (b + c) * Z95
    low, high = wilson_interval(ours, any_of, z)
    below, above = wilson_interval(theirs, any_of, z)
    return low / above, high / below
