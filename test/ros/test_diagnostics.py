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

"""Reports as messages."""

import json
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from hbvla_ros.ros.chunks import time_message
from hbvla_ros.ros.diagnostics import (
    diagnostic_array,
    Durations,
    Level,
    Report,
    Reporter,
    status_text,
)
import pytest
import rclpy
from rclpy.serialization import deserialize_message, serialize_message

pytestmark = pytest.mark.ros
REPORT = Report(Level.ERROR, 'holding', {'robot': 'toy', 'drops': {'names': 2}, 'calm': True})


def test_nested_values_become_joined_keys() -> None:
    message = diagnostic_array('/cell/node', REPORT, time_message(7))
    [status] = deserialize_message(serialize_message(message), DiagnosticArray).status

    assert status.level == DiagnosticStatus.ERROR
    assert (status.name, status.message, status.hardware_id) == ('cell/node', 'holding', 'toy')
    assert {pair.key: pair.value for pair in status.values} == {
        'robot': 'toy',
        'drops/names': '2',
        'calm': 'True',
    }


def test_the_status_is_json_with_level_and_message_first() -> None:
    assert json.loads(status_text('/node', REPORT)) == {
        'node': '/node',
        'level': 'error',
        'message': 'holding',
        'robot': 'toy',
        'drops': {'names': 2},
        'calm': True,
    }


def test_durations_are_summed_up_in_milliseconds() -> None:
    durations = Durations()
    for value in range(101):
        durations.add(value / 1000)

    assert durations.summary() == {'p50_ms': 50.0, 'p99_ms': 99.0}


def test_only_the_last_thousand_durations_count() -> None:
    durations = Durations()
    durations.add(1e6)
    for _ in range(1000):
        durations.add(0.002)

    assert durations.summary() == {'p50_ms': 2.0, 'p99_ms': 2.0}


def test_without_durations_there_is_no_summary() -> None:
    assert Durations().summary() == {}


def test_reports_are_repeated_and_who_comes_late_gets_the_last(graph: Any) -> None:
    node = graph.add(rclpy.create_node('toy', context=graph.context))
    arrays = graph.collect(DiagnosticArray, '/diagnostics')
    Reporter(node, 0.01, lambda: REPORT)
    graph.until(lambda: len(arrays) >= 3, 'three reports')

    assert graph.status('toy')()['message'] == 'holding'


def test_reports_go_on_while_simulated_time_stands_still(graph: Any) -> None:
    simulated = rclpy.parameter.Parameter('use_sim_time', value=True)
    node = graph.add(
        rclpy.create_node('toy', context=graph.context, parameter_overrides=[simulated])
    )
    arrays = graph.collect(DiagnosticArray, '/diagnostics')
    Reporter(node, 0.01, lambda: REPORT)
    graph.until(lambda: len(arrays) >= 2, 'two reports')
    assert arrays[-1].header.stamp.sec == 0
