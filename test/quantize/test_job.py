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

"""The job as plain values."""

from hbvla_ros.core.errors import ConfigError
from hbvla_ros.quantize.job import QuantizeJob
import pytest


def _job(**changes):
    return QuantizeJob(**{'checkpoint': 'a', 'output': 'b', **changes})


def test_settings_are_read_as_values():
    job = _job(settings=('pairing=false', 'corrected=0.5', 'transform=none'))
    assert job.method_settings() == {'pairing': False, 'corrected': 0.5, 'transform': 'none'}


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'num_samples': 0}, 'num_samples must be in 1'),
        ({'num_samples': 2.5}, 'num_samples must be an integer'),
        ({'seed': -1}, 'seed must be in 0'),
        ({'checkpoint': ''}, 'checkpoint is needed'),
        ({'output': ''}, 'output is needed'),
        ({'settings': ('pairing',)}, 'name=value'),
    ],
)
def test_nonsense_is_refused_by_name(changes, message):
    with pytest.raises(ConfigError, match=message):
        _job(**changes)
