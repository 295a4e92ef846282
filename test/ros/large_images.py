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
One side of three cameras at 30 Hz: ``publish`` or ``receive``, each a process of its own.

The receiver prints how many frames of each camera arrived, as JSON.
"""

from array import array
import json
import sys
import time

import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Empty

# Best effort, as camera drivers publish. The depth covers a stall of a busy machine, so that what
# is lost was lost by the transport.
SENSOR_DATA = QoSProfile(depth=12, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
CAMERAS, FRAMES, RATE_HZ, HEIGHT, WIDTH = 3, 75, 30.0, 480, 640


def publish(node):
    publishers = [node.create_publisher(Image, f'camera_{k}', SENSOR_DATA) for k in range(CAMERAS)]
    end, ready = node.create_publisher(Empty, 'end', 10), []
    node.create_subscription(Empty, 'ready', ready.append, LATCHED)
    while not (ready and all(p.get_subscription_count() for p in (*publishers, end))):
        rclpy.spin_once(node, timeout_sec=0.02)
    image = Image(height=HEIGHT, width=WIDTH, encoding='rgb8', step=WIDTH * 3)
    image.data = array('B', bytes(HEIGHT * WIDTH * 3))
    start = time.monotonic()
    for frame in range(FRAMES):
        time.sleep(max(0.0, start + frame / RATE_HZ - time.monotonic()))
        for publisher in publishers:
            publisher.publish(image)
    end.publish(Empty())
    end.wait_for_all_acked(rclpy.duration.Duration(seconds=5))


def receive(node):
    counts, ended = [0] * CAMERAS, []
    for k in range(CAMERAS):

        def count(image, k=k):
            assert len(image.data) == HEIGHT * WIDTH * 3
            counts[k] += 1

        node.create_subscription(Image, f'camera_{k}', count, SENSOR_DATA)
    node.create_subscription(Empty, 'end', ended.append, 10)
    ready = node.create_publisher(Empty, 'ready', LATCHED)
    # Both sides must know each other, or the first frames fall between them.
    while not all(node.count_publishers(f'camera_{k}') for k in range(CAMERAS)):
        rclpy.spin_once(node, timeout_sec=0.02)
    ready.publish(Empty())
    while not ended:
        rclpy.spin_once(node, timeout_sec=1.0)
    print(json.dumps({'frames': FRAMES, 'received': counts}))


def main():
    role = {'publish': publish, 'receive': receive}[sys.argv[1]]
    rclpy.init()
    node = rclpy.create_node(role.__name__)
    role(node)
    node.destroy_node()
    rclpy.shutdown()


if __name__ == '__main__':
    main()
