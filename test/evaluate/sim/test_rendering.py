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

"""The choice of MUJOCO_GL, and what happens where nothing can draw."""

import subprocess
import sys

from hbvla_ros.core.errors import ConfigError
from hbvla_ros.evaluate.sim import rendering
import pytest

pytestmark = pytest.mark.sim


def test_the_first_platform_that_works_is_chosen(monkeypatch):
    monkeypatch.setattr(rendering, 'platform_works', lambda name: name == 'osmesa')
    assert rendering.choose_platform() == 'osmesa'


def test_without_any_platform_mujoco_is_loaded_blind(monkeypatch):
    monkeypatch.setattr(rendering, 'platform_works', lambda _name: False)
    assert rendering.choose_platform() == rendering.NONE


def test_a_platform_that_does_not_exist_does_not_work():
    assert not rendering.platform_works('nonsense')


@pytest.mark.parametrize(('value', 'chosen'), [('disable', 'disable'), ('osmesa', 'osmesa')])
def test_a_value_set_by_the_user_stays(value, chosen, monkeypatch):
    monkeypatch.setenv(rendering.VARIABLE, value)
    monkeypatch.setitem(sys.modules, 'mujoco', sys)  # whatever: it must not be imported
    monkeypatch.setattr(rendering, 'choose_platform', lambda: pytest.fail('asked'))
    rendering.load_mujoco()
    assert rendering.os.environ[rendering.VARIABLE] == chosen


def test_an_absent_simulator_names_the_requirements(monkeypatch):
    monkeypatch.setitem(sys.modules, 'mujoco', None)
    with pytest.raises(ConfigError, match=r'pip install -r requirements/sim\.txt'):
        rendering.load_mujoco()


def test_a_world_that_can_not_draw_steps_and_says_what_to_install():
    code = (
        'import numpy as np\n'
        'from hbvla_ros.core.errors import ConfigError\n'
        'from hbvla_ros.evaluate.sim.world import AlohaWorld, home_state\n'
        'world = AlohaWorld()\n'
        'world.step(home_state())\n'
        'try:\n'
        '    world.image("cam_high")\n'
        'except ConfigError as error:\n'
        '    print(error)\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        env={**rendering.os.environ, 'MUJOCO_GL': 'disable'},
        capture_output=True,
        text=True,
        check=True,
    )
    assert 'MUJOCO_GL=disable' in done.stdout
    assert 'apt-get install libegl1' in done.stdout
