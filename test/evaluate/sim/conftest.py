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

"""Worlds for the tests; skips them, with the reason, where the simulator is not installed."""

from collections.abc import Iterator
from importlib.util import find_spec

from hbvla_ros.core.errors import ConfigError
from hbvla_ros.evaluate.sim.world import AlohaWorld
import pytest

WANTED = ('mujoco', 'gym_aloha', 'gymnasium')


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs the simulator where it is absent."""
    absent = [name for name in WANTED if find_spec(name) is None]
    if not absent:
        return
    reason = f'{", ".join(absent)} not installed: pip install -r requirements/sim.txt'
    for item in items:
        if item.get_closest_marker('sim'):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope='session')
def world() -> Iterator[AlohaWorld]:
    """Return a world that tests reset and never draw."""
    one = AlohaWorld()
    yield one
    one.close()


@pytest.fixture(scope='session')
def drawn_world() -> Iterator[AlohaWorld]:
    """Return a world that can be drawn."""
    one = AlohaWorld()
    try:
        one.image('cam_high')
    except ConfigError as error:
        pytest.skip(str(error))
    yield one
    one.close()
