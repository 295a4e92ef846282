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

"""Declared parameters over a real node."""

from dataclasses import dataclass, field
from typing import Any

from hbvla_ros.core.errors import ConfigError
from hbvla_ros.ros.parameters import declare, guard, read
from hbvla_ros.ros.settings import check
import pytest
import rclpy
from rclpy.parameter import Parameter

pytestmark = pytest.mark.ros


@dataclass(frozen=True)
class Toy:
    """One setting of every kind."""

    flag: bool = field(default=False, metadata={'description': 'a flag'})
    count: int = field(default=3, metadata={'description': 'a count', 'range': (0, 9)})
    rate_hz: float = field(default=2.0, metadata={'description': 'a rate', 'range': (1.0, 5.0)})
    mode: str = field(default='slow', metadata={'choices': ('slow', 'fast')})
    parts: tuple[str, ...] = field(default=(), metadata={'description': 'some parts'})
    seed: int = field(default=0, metadata={'read_only': True})

    def __post_init__(self) -> None:
        check(self)


def make(graph: Any, **values: Any) -> Any:
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    node = graph.add(
        rclpy.create_node('toy', context=graph.context, parameter_overrides=overrides)
    )
    declare(node, Toy)
    return node


def test_what_is_declared_is_read_back(graph: Any) -> None:
    assert read(make(graph), Toy) == Toy()


def test_overrides_of_every_kind_arrive(graph: Any) -> None:
    node = make(graph, flag=True, count=7, rate_hz=4.5, mode='fast', parts=['a', 'b'], seed=1)

    assert read(node, Toy) == Toy(True, 7, 4.5, 'fast', ('a', 'b'), 1)


def test_description_range_and_choices_can_be_asked_for(graph: Any) -> None:
    node = make(graph)
    rate, mode = node.describe_parameters(['rate_hz', 'mode'])

    assert rate.description == 'a rate'
    limits = rate.floating_point_range[0]
    assert (limits.from_value, limits.to_value) == (1.0, 5.0)
    assert mode.additional_constraints == 'one of: slow, fast'
    assert node.describe_parameter('seed').read_only
    assert node.describe_parameter('count').integer_range[0].to_value == 9


@pytest.mark.parametrize(
    ('name', 'value'), [('count', 10), ('rate_hz', 0.5), ('mode', 'wild'), ('rate_hz', 'x')]
)
def test_a_bad_override_is_refused_with_the_name(graph: Any, name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f'parameter {name}.*{value}'):
        make(graph, **{name: value})


def test_a_whole_number_for_a_decimal_one_is_refused_with_advice(graph: Any) -> None:
    with pytest.raises(ConfigError, match=r'parameter rate_hz.*decimal point'):
        make(graph, rate_hz=3)


def test_changes_are_refused_while_the_guard_says_why(graph: Any) -> None:
    node = make(graph)
    reason = ['the node is active']
    guard(node, Toy, lambda: reason[0])

    [refused] = node.set_parameters([Parameter('count', value=5)])
    assert not refused.successful
    assert refused.reason == 'parameter count cannot be changed now: the node is active'
    reason[0] = ''
    [accepted] = node.set_parameters([Parameter('count', value=5)])
    assert accepted.successful
    assert read(node, Toy).count == 5


def test_a_change_to_a_word_that_is_no_choice_is_refused(graph: Any) -> None:
    node = make(graph)
    guard(node, Toy, str)

    [refused] = node.set_parameters([Parameter('mode', value='wild')])
    assert refused.reason == "parameter mode must be one of slow, fast; got 'wild'"


def test_parameters_of_others_are_not_guarded(graph: Any) -> None:
    node = make(graph)
    guard(node, Toy, lambda: 'the node is active')

    [accepted] = node.set_parameters([Parameter('use_sim_time', value=True)])
    assert accepted.successful
