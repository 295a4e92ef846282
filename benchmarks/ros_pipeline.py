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
Jitter of commands beside a busy network, frames that arrive, and the overhead of the nodes.

    .venv/bin/python -m benchmarks.ros_pipeline

Writes ``benchmarks/results/ros_pipeline.json``. Three cameras of 480x640 at 30 Hz, a network that
takes 0.3 s of all cores, and the executor at 50 Hz are processes of their own over Fast DDS with
the shipped profile. An observer, one more process on the same cores, reads when each command was
sent. Once more with the executor in the real-time class, where the operating system allows it.
"""

import argparse
from collections.abc import Sequence
import json
import os
import subprocess
import time
from typing import Any

from benchmarks.record import REPOSITORY, write
from benchmarks.robustness.actors import ROBOT
from benchmarks.robustness.lab import CAMERAS, EXECUTOR, Lab, POLICY
from hbvla_ros.core.action import ActionChunk
from hbvla_ros.core.decode import to_rgb
from hbvla_ros.core.latest import FreshnessConfig, ObservationAssembler
from hbvla_ros.ros.chunks import chunk_message
from hbvla_ros.ros.images import image_message
import numpy as np
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
import torch

PERIOD_MS = 20.0
REAL_TIME = ('chrt', '--fifo', '20')  # as doc/monitoring.md advises


def spread(values_ms: Any) -> dict[str, float]:
    """Return median, 99th percentile and largest of times in ms."""
    p50, p99 = np.percentile(values_ms, (50, 99))
    return {
        'p50': round(float(p50), 3),
        'p99': round(float(p99), 3),
        'max': round(max(values_ms), 3),
    }


def live(domain: int, seconds: float, before: Sequence[str] = ()) -> dict[str, Any]:
    """Run the system and watch it; ``before`` stands before the command of the executor."""
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    profile = str(REPOSITORY / 'config' / 'fastdds_large_images.xml')
    os.environ['FASTDDS_DEFAULT_PROFILES_FILE'] = profile
    lab = Lab(domain, {CAMERAS: 'large', POLICY: 'busy'}, {EXECUTOR: before}).begin()
    try:
        lab.moving(60.0)
        before, begin = _received(lab), time.monotonic()
        count = len(lab.commands)
        time.sleep(seconds)
        after, end = _received(lab), time.monotonic()
        times = np.array([sent for sent, _ in lab.commands[count:]])
        status = lab.status(EXECUTOR)
        policy = lab.status(POLICY)
    finally:
        lab.close()
    periods = np.diff(times) * 1e3
    frames = {name: (after[name] - before[name]) / (30 * (end - begin)) for name in after}
    return {
        'seconds': round(end - begin, 1),
        'commands': len(times),
        'period_ms': spread(periods.tolist()),
        'late_ms_p99': round(float(np.percentile(periods, 99)) - PERIOD_MS, 3),
        'frames_received_of_30_hz': {name: round(share, 3) for name, share in frames.items()},
        'inference_ms': policy['inference'],
        'holds': status['holds'],
    }


def _received(lab: Lab) -> dict[str, int]:
    inputs = lab.status(POLICY).get('inputs', {})
    return {c.name: inputs.get(c.name, {}).get('received', 0) for c in ROBOT.cameras}


def overhead(rounds: int) -> dict[str, Any]:
    """Time what the nodes add: three images to one tensor, and a chunk to bytes."""
    picture = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    raw = serialize_message(image_message(picture, 0))
    state = np.zeros(7, np.float32)
    chunk = ActionChunk(actions=np.zeros((25, 14)), stamp_ns=0, period_s=0.04)
    images, chunks = [], []
    assembler = ObservationAssembler(ROBOT, FreshnessConfig())
    assembler.set_instruction('wave')
    for index in range(rounds):
        messages = [deserialize_message(raw, Image) for _ in ROBOT.cameras]
        begin = time.perf_counter()
        for camera, message in zip(ROBOT.cameras, messages, strict=True):
            assembler.add_image(camera.name, to_rgb(message), index)
        for group in ROBOT.states:
            assembler.add_state(group.topic, state, index)
        seen = assembler.assemble(index)
        tensors = [torch.from_numpy(image) for image in seen.images.values()]
        images.append((time.perf_counter() - begin) * 1e3)
        assert len(tensors) == len(ROBOT.cameras)
        begin = time.perf_counter()
        serialize_message(chunk_message(chunk, ROBOT))
        chunks.append((time.perf_counter() - begin) * 1e3)
    return {
        'images_to_tensors_ms': spread(images),
        'chunk_to_bytes_ms': spread(chunks),
        'together_p99_ms': round(float(np.percentile(np.add(images, chunks), 99)), 3),
    }


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seconds', type=float, default=40.0)
    parser.add_argument('--rounds', type=int, default=1000)
    parser.add_argument('--domain', type=int, default=1 + os.getpid() % 101)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    measured = {
        'idle_machine': False,
        'load_average_before': round(load, 2),
        'overhead': overhead(arguments.rounds),
        'live': live(arguments.domain, arguments.seconds),
    }
    if subprocess.run([*REAL_TIME, 'true'], capture_output=True, check=False).returncode == 0:
        print(json.dumps(measured), flush=True)
        measured['live_real_time'] = live(arguments.domain, arguments.seconds, REAL_TIME)
    print(json.dumps(measured))
    write('ros_pipeline', measured)


if __name__ == '__main__':
    main()
