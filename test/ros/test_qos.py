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

"""Which publishers a subscription hears."""

from typing import Any

from hbvla_ros.ros import qos
import pytest
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.qos import (
    DurabilityPolicy,
    qos_check_compatible,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
)
from std_msgs.msg import String

pytestmark = pytest.mark.ros
RELIABLE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


def hears(publisher: Any, subscription: Any) -> bool:
    compatibility, _ = qos_check_compatible(publisher, subscription)
    # Not OK but WARNING: what a profile leaves to the system is not known here.
    return bool(compatibility != QoSCompatibility.ERROR)


def test_a_reliable_subscription_is_deaf_to_a_best_effort_publisher() -> None:
    assert not hears(BEST_EFFORT, RELIABLE)  # the rule behind all of the others


@pytest.mark.parametrize('publisher', [RELIABLE, BEST_EFFORT])
def test_joint_states_are_heard_from_any_driver(publisher: Any) -> None:
    assert hears(publisher, qos.JOINT_STATES)


def test_an_instruction_from_the_command_line_is_heard() -> None:
    assert hears(RELIABLE, qos.INSTRUCTION)  # ``ros2 topic pub`` is reliable and volatile
    assert qos.INSTRUCTION.durability == DurabilityPolicy.VOLATILE


@pytest.mark.parametrize('profile', [qos.ACTION_CHUNK, qos.STATUS, qos.COMMAND])
def test_what_we_publish_is_heard_by_everybody(profile: Any) -> None:
    assert hears(profile, RELIABLE)
    assert hears(profile, BEST_EFFORT)


def test_the_executor_hears_the_policy() -> None:
    assert hears(qos.ACTION_CHUNK, qos.ACTION_CHUNK)


@pytest.mark.parametrize(
    ('offers', 'expected'),
    [
        ([], ReliabilityPolicy.BEST_EFFORT),
        ([RELIABLE], ReliabilityPolicy.RELIABLE),
        ([RELIABLE, BEST_EFFORT], ReliabilityPolicy.BEST_EFFORT),
    ],
)
def test_auto_is_reliable_only_where_every_publisher_is(
    graph: Any, offers: list[Any], expected: Any
) -> None:
    for offer in offers:
        graph.probe.create_publisher(String, 'camera', offer)
    graph.until(lambda: graph.probe.count_publishers('camera') == len(offers), 'the publishers')

    assert qos.images(graph.probe, 'camera', 'auto').reliability == expected


@pytest.mark.parametrize(
    ('choice', 'expected'),
    [
        ('reliable', ReliabilityPolicy.RELIABLE),
        ('best_effort', ReliabilityPolicy.BEST_EFFORT),
    ],
)
def test_the_operator_can_decide(graph: Any, choice: str, expected: Any) -> None:
    assert qos.images(graph.probe, 'camera', choice).reliability == expected


def test_a_publisher_that_can_not_be_heard_is_reported(graph: Any) -> None:
    policies: list[str] = []
    graph.probe.create_subscription(
        String,
        'word',
        lambda message: None,
        RELIABLE,
        event_callbacks=qos.mismatch_events(policies.append),
    )
    quiet = PublisherEventCallbacks(use_default_callbacks=False)
    graph.probe.create_publisher(String, 'word', BEST_EFFORT, event_callbacks=quiet)
    graph.until(lambda: policies, 'the report')

    assert policies == ['RELIABILITY']
