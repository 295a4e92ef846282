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
Record the closed-loop demonstration as the data of the golden replay test.

    .venv/bin/python -m benchmarks.golden_bag

Simulator, policy and executor run as processes; the policy is the shipped checkpoint in full
precision, which the test can load without quantizing. What they said while the robot moved goes to
``test/data/closed_loop.tar.xz``, and what a replay makes of it to ``closed_loop_golden.json``.
"""

import argparse
import json
from pathlib import Path
import tarfile
import tempfile
from typing import Any

from benchmarks.record import REPOSITORY
from hbvla_ros.bringup.sim_demo import run_sim_demo, SimDemo
from hbvla_ros.core.bag import BagMessage, read_bag, write_raw_bag
from hbvla_ros.core.robot import find_robot, RobotSpec
from hbvla_ros.core.share import robots_folder, shipped_policy
from hbvla_ros.evaluate.replay import replay, ReplayConfig
from hbvla_ros.evaluate.replay_compare import golden_record
from hbvla_ros.policy.runner import load_policy
from hbvla_ros.quantize.full_precision import FULL_PRECISION

DATA = REPOSITORY / 'test' / 'data'
BAG, GOLDEN = DATA / 'closed_loop.tar.xz', DATA / 'closed_loop_golden.json'
LATENCY_S = 0.1  # about what the prediction took in simulated time
_BEFORE_NS, _AFTER_NS = 300_000_000, 60_000_000


def cut(source: Path, target: Path, robot: RobotSpec) -> int:
    """
    Keep the part of a recording in which the robot was commanded.

    :param source: folder of the recording
    :param target: folder to write
    :param robot: names the outputs and the instruction
    :return: how many messages were kept
    """
    messages = list(read_bag(source))
    outputs = {group.topic for group in robot.outputs}
    told = [one.stamp_ns for one in messages if one.topic.strip('/') in outputs]
    begin, end = min(told) - _BEFORE_NS, max(told) + _AFTER_NS
    words = [one for one in messages if one.topic.strip('/') == robot.instruction_topic]
    last = [one for one in words if one.stamp_ns <= begin][-1]
    first = BagMessage(last.topic, last.type_name, None, begin, last.raw)
    kept = [one for one in messages if begin < one.stamp_ns <= end]
    return write_raw_bag(target, [first, *kept])


def record(folder: Path) -> dict[str, Any]:
    """
    Run one episode, and write both files.

    :param folder: empty, for the demonstration
    :return: the summary of the demonstration
    """
    demo = SimDemo(
        folder=folder,
        checkpoint=shipped_policy(),
        method=FULL_PRECISION,
        episodes=1,
        rate=0.25,
        record=True,
    )
    summary = run_sim_demo(demo)
    if summary['problems'] or not summary['successes']:
        raise SystemExit(f'nothing recorded: {summary["problems"] or "the cube was not lifted"}')
    robot = find_robot('aloha_sim', robots_folder())
    bag = folder / 'closed_loop'
    cut(folder / 'bag', bag, robot)
    with tarfile.open(BAG, 'w:xz') as archive:
        for path in sorted(bag.iterdir()):
            archive.add(path, path.name)
    found = replay(
        bag,
        robot,
        load_policy(folder / 'artifact', num_threads=1),
        ReplayConfig(inference_latency_s=LATENCY_S),
    )
    golden = {'robot': robot.name, **golden_record(found)}
    # Whether a target of 1.0 lies beyond its limit is a matter of the last bit of a network.
    del golden['clamps']
    GOLDEN.write_text(json.dumps(golden) + '\n', encoding='utf-8')
    return summary


def main() -> None:
    """Record."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as name:
        summary = record(Path(name))
    print(json.dumps({n: summary[n] for n in ('outcomes', 'commands', 'chunks', 'latency_ms')}))
    print(f'{BAG} {BAG.stat().st_size} bytes, {GOLDEN} {GOLDEN.stat().st_size} bytes')


if __name__ == '__main__':
    main()
