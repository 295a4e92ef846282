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
"""The policy that we ship, quantized and packed, does its task in the simulator."""

from builders import REPOSITORY, ROBOTS
from hbvla_ros.evaluate.evaluation import collect, evaluate, Evaluation, method_trials
from hbvla_ros.evaluate.trials import Bench
from hbvla_ros.evaluate.variant_store import VariantStore
from hbvla_ros.evaluate.variants import parse_variants
import pytest

pytestmark = [pytest.mark.sim, pytest.mark.slow, pytest.mark.timeout(600)]
# Few samples and one draw keep the test short; the recorded tables use 256 and four.
CHEAP = 'probe_draws=1:calibration_episodes=16'
EPISODES = 10


@pytest.fixture(scope='module')
def rows(tmp_path_factory):
    store = VariantStore(
        output=tmp_path_factory.mktemp('shipped'),
        robots=ROBOTS,
        checkpoint=REPOSITORY / 'models' / 'aloha_pick',
        samples=80,
    )
    variants = parse_variants([f'hbvla_plus:{CHEAP}', f'rtn:{CHEAP}'])
    wanted = Evaluation(
        bench=Bench(store=store, backend='packed'),
        tables={'methods': method_trials(['aloha_pick'], variants)},
        episodes=EPISODES,
        first_seed=900_000,
        shown=0,
    )
    for _ in evaluate(wanted):
        pass
    return {row['method'].split(':')[0]: row for row in collect(wanted)}


def test_one_bit_weights_run_packed_lift_the_cube_that_is_asked_for(rows):
    row = rows['hbvla_plus']
    assert row['backend'] == 'packed'
    assert row['bits_sign'] == 1.0
    assert row['bits_stored'] < 1.3
    # Seen: 10. A policy of which half the episodes succeed would get 8 or more one time in 18.
    assert row['successes'] >= 8


def test_the_same_episodes_tell_a_broken_policy_from_a_working_one(rows):
    # Plain signs destroy the policy, as a packed path would that mixes up rows or planes.
    assert rows['rtn']['successes'] <= 2
    assert rows['rtn']['bits_stored'] == pytest.approx(rows['hbvla_plus']['bits_stored'], abs=0.01)
