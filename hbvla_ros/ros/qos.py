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
Named quality-of-service profiles, each with its reason.

No subscription to a driver asks for a deadline or a liveliness lease: drivers offer neither, and a
subscription that asks for more than the publisher offers receives nothing at all. Only our own
two nodes use a lease, on a topic without content, so that chunks can come from anywhere.
"""

from collections.abc import Callable
from typing import Any

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    LivelinessPolicy,
    qos_check_compatible,
    qos_policy_name_from_kind,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
)

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT


def _profile(depth: int, reliability: Any, durability: Any = DurabilityPolicy.VOLATILE) -> Any:
    return QoSProfile(depth=depth, reliability=reliability, durability=durability)


# Drivers may publish with best effort, which accepts reliable publishers too. The depth lets a
# node that was busy with a picture still count every measurement; the newest wins.
JOINT_STATES = _profile(10, BEST_EFFORT)
# A latched subscription would be deaf to ``ros2 topic pub``, which is volatile.
INSTRUCTION = _profile(1, RELIABLE)
# A stop must not be lost, nor wait behind others.
ESTOP = _profile(10, RELIABLE)
# A later chunk replaces an earlier one, but each must arrive.
ACTION_CHUNK = _profile(1, RELIABLE)
# The controller follows the newest command only; controllers subscribe reliably or not.
COMMAND = _profile(1, RELIABLE)
# Who comes late still learns the present state.
STATUS = _profile(1, RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)
# A robot that waits asks again; only the newest request counts.
CHUNK_REQUEST = _profile(1, RELIABLE)
# For people: a lost picture is followed by another.
SEEN = _profile(1, BEST_EFFORT)
# The customary profile of /diagnostics.
DIAGNOSTICS = _profile(10, RELIABLE)


LEASE_S = 0.3  # the policy's process is given up when it was silent for so long


def heartbeat(lease_s: float) -> Any:
    """
    Return the profile of the heartbeat.

    The lease lets the middleware tell at once of a policy that ended; nothing depends on it alone
    (:mod:`hbvla_ros.policy.pulse`).

    :param lease_s: offered by the policy, or requested by who watches it; who requests a shorter
        one than the policy offers is told of a mismatch instead
    """
    return QoSProfile(
        depth=1,
        reliability=RELIABLE,
        liveliness=LivelinessPolicy.AUTOMATIC,
        liveliness_lease_duration=Duration(seconds=lease_s),
    )


def images(node: Node, topic: str, choice: str, *, compressed: bool = False) -> Any:
    """
    Return the profile of one camera.

    Reliable transport gets large images through where best effort loses most fragments, but a
    reliable subscription receives nothing from a best-effort camera.

    :param node: knows the publishers
    :param topic: of the camera
    :param choice: ``auto`` (reliable if every publisher present now is), ``reliable`` or
        ``best_effort``
    :param compressed: small images, of which a busy node may keep more until it counts them
    """
    if choice == 'auto':
        offers = node.get_publishers_info_by_topic(node.resolve_topic_name(topic))
        reliable = bool(offers) and all(o.qos_profile.reliability == RELIABLE for o in offers)
    else:
        reliable = choice == 'reliable'
    return _profile(10 if compressed else 2, RELIABLE if reliable else BEST_EFFORT)


def inaudible(node: Node, topic: str, profile: Any) -> bool:
    """
    Tell whether a publisher is there that a subscription can't hear.

    :param node: knows the publishers
    :param topic: of the subscription
    :param profile: of the subscription
    """
    offers = node.get_publishers_info_by_topic(node.resolve_topic_name(topic))
    verdicts = [qos_check_compatible(offer.qos_profile, profile)[0] for offer in offers]
    return QoSCompatibility.ERROR in verdicts


def mismatch_events(
    report: Callable[[str], None], on_alive: Callable[[int], None] | None = None
) -> Any:
    """
    Watch a subscription for publishers that it can't hear.

    :param report: called with the name of the policy that does not match
    :param on_alive: called with the number of publishers alive when one appears or falls silent
    """
    liveliness = None if on_alive is None else lambda event: on_alive(event.alive_count)
    return SubscriptionEventCallbacks(
        incompatible_qos=lambda event: report(qos_policy_name_from_kind(event.last_policy_kind)),
        liveliness=liveliness,
    )
