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

"""The tree of errors that callers rely on."""

from hbvla_ros.core import errors
import pytest

OURS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and kind is not errors.HbvlaError
]


@pytest.mark.parametrize('kind', OURS, ids=lambda kind: kind.__name__)
def test_one_except_clause_catches_everything_of_ours(kind):
    assert issubclass(kind, errors.HbvlaError)


def test_what_comes_from_bad_values_is_a_value_error_too():
    for kind in (errors.ConfigError, errors.ObservationError, errors.ActionError):
        assert issubclass(kind, ValueError)
