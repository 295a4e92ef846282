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
The node that plays a recording over DDS, byte for byte, and ends.

It waits until everything it plays has a subscriber, then publishes each message when it is due.
By default it also publishes ``/clock``, so that nodes with ``use_sim_time`` live in the time of
the recording and its old header stamps are the present; ``restamp`` shifts the stamps instead.
Exit status: 0 played to the end, 1 failed with the reason in the log, 130 interrupted. DDS keeps
no order across topics: for an exact replay there is ``evaluate.replay``.
"""

from collections import Counter
from dataclasses import dataclass, field
from importlib import import_module
import json
from pathlib import Path
import struct
import sys
import threading
import time
import traceback
from typing import Any

from hbvla_ros.core.bag import bag_topics, BagMessage, read_bag
from hbvla_ros.core.errors import ConfigError, HbvlaError
from hbvla_ros.core.feed import source_topic
from hbvla_ros.ros.chunks import time_message
from hbvla_ros.ros.diagnostics import Level, Report, Reporter
from hbvla_ros.ros.node_main import run
from hbvla_ros.ros.parameters import declare, read
from hbvla_ros.ros.settings import check
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock

# Reliable: best effort loses large images, and every subscription accepts a reliable publisher.
_RECORDED = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
_CLOCK_STEP_NS = 5_000_000  # of recorded time; timers of 50 Hz need it finer than 20 ms
_CDR_HEADER = 4  # bytes before the first field; the second one tells the byte order
_ACKNOWLEDGE_S = 2.0
_GIGA = 1_000_000_000
_INTERRUPTED = 130


def _setting(default: Any, description: str, **extra: Any) -> Any:
    return field(default=default, metadata={'description': description, **extra})


@dataclass(frozen=True, kw_only=True)
class PlayerParameters:
    """The parameters of the bag player."""

    bag: str = _setting('', 'folder of the recording')
    topics: tuple[str, ...] = _setting(
        (), 'topics to play, with or without /compressed; none are all of the recording'
    )
    rate: float = _setting(1.0, 'speed; 2.0 is twice as fast', range=(0.01, 100.0))
    loop: bool = _setting(default=False, description='play again and again; time jumps back')
    publish_clock: bool = _setting(
        default=True, description='publish /clock for nodes that use simulated time'
    )
    restamp: bool = _setting(
        default=False, description='shift header stamps to the present; needs publish_clock off'
    )
    wait_for_subscribers_s: float = _setting(
        600.0, 'how long to wait for a subscriber on each topic', range=(0.0, 86400.0)
    )

    def __post_init__(self) -> None:
        check(self)
        if not self.bag:
            raise ConfigError('parameter bag is empty; give the folder of a recording')
        if self.restamp and self.publish_clock:
            raise ConfigError(
                'restamp moves stamps to the present, publish_clock moves the present to the '
                'stamps; switch one of them off'
            )


class BagPlayerNode(Node):
    """``hbvla_bag_player``."""

    def __init__(self, **options: Any) -> None:
        """
        Advertise what the recording holds and start to play in a thread.

        :param options: passed on to rclpy
        :raises ConfigError: if a parameter makes no sense or the recording can't be read
        """
        super().__init__('hbvla_bag_player', **options)
        declare(self, PlayerParameters)
        self.exit_status: int | None = None
        self._settings = read(self, PlayerParameters)
        self._bag = Path(self._settings.bag)
        self._sent: Counter[str] = Counter()
        self._report = Report(Level.OK, 'starting')
        self._reporter = Reporter(self, 1.0, lambda: self._report)
        classes = {topic: _message_class(kind) for topic, kind in self._chosen().items()}
        self._outputs = {
            topic: self.create_publisher(kind, topic, _RECORDED) for topic, kind in classes.items()
        }
        self._stamped = {topic for topic, kind in classes.items() if _has_header(kind)}
        self._time_output: Any = None
        if self._settings.publish_clock:
            self._time_output = self.create_publisher(Clock, '/clock', _RECORDED)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name='hbvla_bag_player', daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop playing."""
        self._stop.set()
        self._thread.join()

    def _chosen(self) -> dict[str, str]:
        """Return topics to play and their types."""
        recorded = bag_topics(self._bag)
        wanted = {source_topic(topic) for topic in self._settings.topics}
        missing = wanted - {source_topic(topic) for topic in recorded}
        if missing:
            raise ConfigError(f'{self._bag} lacks {sorted(missing)}; it has {sorted(recorded)}')
        return {
            topic: type_name
            for topic, type_name in recorded.items()
            if not wanted or source_topic(topic) in wanted
        }

    def _work(self) -> None:
        try:
            self._run()
        except Exception as error:  # whatever it is, the node must end with it
            if not isinstance(error, HbvlaError):
                self.get_logger().error(traceback.format_exc())
            self.get_logger().fatal(f'failed: {error}')
            self.exit_status = 1

    def _run(self) -> None:
        self._await_subscribers()
        started = time.monotonic()
        while not self._stop.is_set():
            self._play()
            if not self._settings.loop:
                break
        for publisher in self._outputs.values():
            publisher.wait_for_all_acked(Duration(seconds=_ACKNOWLEDGE_S))
        self._say(f'played {sum(self._sent.values())} messages', time.monotonic() - started)
        self.get_logger().info(json.dumps(self._report.values))
        self._reporter.publish()
        if not self._stop.is_set():
            self.exit_status = 0

    def _await_subscribers(self) -> None:
        deadline = time.monotonic() + self._settings.wait_for_subscribers_s
        while not self._stop.wait(0.02):
            deaf = [t for t, p in self._outputs.items() if not p.get_subscription_count()]
            if not deaf:
                return
            self._say(f'waiting for subscribers of {deaf}')
            if time.monotonic() > deadline:
                raise ConfigError(
                    f'nobody subscribed to {deaf}; name what to play in the parameter topics, '
                    'and check image_transport, namespaces and whether the nodes are active'
                )

    def _play(self) -> None:
        started, first_ns, clock_ns = time.monotonic(), -1, 0
        for item in read_bag(self._bag, self._outputs, decode=False):
            if first_ns < 0:
                first_ns = clock_ns = item.stamp_ns
            # Wake up for each step of the clock on the way, and for the message itself.
            for now_ns in (*range(clock_ns, item.stamp_ns, _CLOCK_STEP_NS), item.stamp_ns):
                due = started + (now_ns - first_ns) / 1e9 / self._settings.rate
                if self._stop.wait(max(0.0, due - time.monotonic())):
                    return
                if self._time_output is not None:
                    self._time_output.publish(Clock(clock=time_message(now_ns)))
            clock_ns = item.stamp_ns
            self._publish(item)
            self._say('playing', time.monotonic() - started)

    def _publish(self, item: BagMessage) -> None:
        raw = item.raw
        if self._settings.restamp and item.topic in self._stamped:
            raw = restamped(raw, self.get_clock().now().nanoseconds - item.stamp_ns)
        self._outputs[item.topic].publish(raw)
        self._sent[item.topic] += 1

    def _say(self, message: str, wall_s: float = 0.0) -> None:
        values = {'sent': dict(self._sent), 'wall_s': round(wall_s, 3)}
        self._report = Report(Level.OK, message, values)


def restamped(raw: bytes, shift_ns: int) -> bytes:
    """
    Shift the header stamp of a serialized message.

    :param raw: CDR bytes of a message whose first field is a ``std_msgs/Header``
    :param shift_ns: what to add; an instant before 1970 becomes 1970
    """
    layout = '<iI' if raw[1] & 1 else '>iI'
    seconds, nanoseconds = struct.unpack_from(layout, raw, _CDR_HEADER)
    moved = max(0, seconds * _GIGA + nanoseconds + shift_ns)
    end = _CDR_HEADER + struct.calcsize(layout)
    return raw[:_CDR_HEADER] + struct.pack(layout, *divmod(moved, _GIGA)) + raw[end:]


def _message_class(type_name: str) -> Any:
    package, _, name = type_name.split('/')
    try:
        return getattr(import_module(f'{package}.msg'), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f'no messages {type_name} here ({error}); install the package or name the topics to '
            'play in the parameter topics'
        ) from error


def _has_header(message_class: Any) -> bool:
    fields = message_class.get_fields_and_field_types()
    return list(fields.items())[:1] == [('header', 'std_msgs/Header')]


def main(args: list[str] | None = None) -> int:
    """Play the recording and end."""
    return run(BagPlayerNode, args, interrupted=_INTERRUPTED)


if __name__ == '__main__':
    sys.exit(main())
