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

"""The parameters as dataclasses, parameter files and documentation say the same."""

from typing import Any

from builders import REPOSITORY
from hbvla_ros.core.errors import ConfigError
from hbvla_ros.quantize.job import QuantizeJob
from hbvla_ros.ros.settings import ExecutorParameters, PolicyParameters, Setting, settings_of
import pytest
import yaml

FILES = {'policy': PolicyParameters, 'executor': ExecutorParameters, 'quantize': QuantizeJob}


def row(setting: Setting) -> str:
    """Return the line that documents a parameter."""
    allowed, default = '', setting.default
    if setting.choices:
        allowed = ' \\| '.join(setting.choices)
    elif setting.limits:
        allowed = f'{setting.limits[0]} .. {setting.limits[1]}'
    if isinstance(default, bool):
        default = str(default).lower()
    elif isinstance(default, tuple):
        default = ', '.join(default)
    cells = (setting.name, str(default), allowed, setting.description)
    return '|' + '|'.join(f' {cell} ' if cell else ' ' for cell in cells) + '|'


@pytest.mark.parametrize(('name', 'cls'), FILES.items())
def test_a_parameter_file_holds_every_parameter_with_its_default(name: str, cls: Any) -> None:
    text = (REPOSITORY / 'config' / f'{name}.yaml').read_text(encoding='utf-8')
    values = yaml.safe_load(text)['/**']['ros__parameters']

    assert values == {
        setting.name: setting.to_ros(setting.default) for setting in settings_of(cls)
    }


@pytest.mark.parametrize(('name', 'cls'), FILES.items())
def test_the_documentation_shows_every_parameter(name: str, cls: Any) -> None:
    page = (REPOSITORY / 'doc' / 'topics_and_parameters.md').read_text(encoding='utf-8')
    section = page.split(f'## hbvla_{name}\n')[1].splitlines()
    start = section.index('| parameter | default | allowed | meaning |') + 2

    end = section.index('', start)

    # The whole table, in order.
    assert section[start:end] == [row(entry) for entry in settings_of(cls)]


@pytest.mark.parametrize('cls', FILES.values())
def test_every_parameter_has_a_description_and_a_default_that_is_allowed(cls: Any) -> None:
    for setting in settings_of(cls):
        assert setting.description, setting.name
        assert setting.problem(setting.default) is None


def test_a_number_out_of_range_is_refused_with_name_range_and_value() -> None:
    with pytest.raises(
        ConfigError, match=r'^parameter control_rate_hz must be in 1\.0 \.\. 1000\.0; got 0\.5$'
    ):
        ExecutorParameters(control_rate_hz=0.5)


def test_a_word_that_is_no_choice_is_refused_with_the_choices() -> None:
    with pytest.raises(
        ConfigError, match=r"^parameter timeline must be one of header, receive; got 'now'$"
    ):
        PolicyParameters(timeline='now')


def test_a_value_that_is_no_number_is_refused() -> None:
    with pytest.raises(ConfigError, match=r'max_image_age_s must be in .* got nan'):
        PolicyParameters(max_image_age_s=float('nan'))


def test_an_empty_list_travels_as_one_empty_text() -> None:
    setting = next(entry for entry in settings_of(QuantizeJob) if entry.name == 'protect')

    assert setting.to_ros(()) == ['']
    assert setting.from_ros(['']) == ()
    assert setting.from_ros(setting.to_ros(('a', 'b'))) == ('a', 'b')


def test_motion_is_never_enabled_by_default() -> None:
    assert ExecutorParameters().enable_on_start is False
