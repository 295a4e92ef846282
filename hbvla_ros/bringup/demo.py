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
The demonstration behind ``./scripts/demo``.

By default a policy of our own drives the simulated ALOHA in closed loop; with ``--replay``
recorded cameras are played to a policy instead. Exit status 0 means that actions flowed and every
process ended well.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
import signal
import sys
from typing import Any

from hbvla_ros.bringup import replay_report, sim_report
from hbvla_ros.bringup.replay_demo import ReplayDemo, run_replay_demo
from hbvla_ros.bringup.sim_demo import run_sim_demo, SimDemo
from hbvla_ros.core.errors import HbvlaError
from hbvla_ros.core.share import shipped_policy
from hbvla_ros.quantize.full_precision import FULL_PRECISION


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of ``scripts/demo``."""
    parser = argparse.ArgumentParser(
        prog='./scripts/demo',
        description='Quantize a policy to one bit per weight and let it drive a simulated robot '
        'over ROS 2: cameras and joint states come in, joint commands go out.',
    )
    add = parser.add_argument
    add('--task', default='aloha_pick', help='task of the simulated robot (default: aloha_pick)')
    add('--instruction', default='', help='show only scenes with this instruction')
    add('--method', default='hbvla_plus', help='how to quantize (default: hbvla_plus)')
    add('--full-precision', action='store_true', help='run the 16-bit weights instead')
    add('--episodes', type=int, default=5, help='how many (default: 5)')
    add('--demonstrations', type=int, default=64, help='to calibrate with (default: 64)')
    add('--seed', type=int, default=920_000, help='of the first episode')
    add('--rate', type=float, default=1.0, help='speed of simulated time (default: 1.0)')
    add('--record', action='store_true', help='also write a rosbag2 and replay it in process')
    add('--replay', action='store_true', help='play a recording instead of simulating a robot')
    add('--checkpoint', type=Path, help='checkpoint to quantize (default: the one we ship)')
    add('--bag', type=Path, help='with --replay: rosbag2 recording of robot mobile_aloha')
    add('--out', type=Path, default=Path('.cache/demo'), help='folder of results')
    add('--keep-running', action='store_true', help='leave the nodes running until Ctrl-C')
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the demonstration.

    :return: 0 if actions flowed and every process ended cleanly, 1 with the reason otherwise
    """
    arguments = build_parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # no process stays behind
    try:
        summary, text = _replay(arguments) if arguments.replay else _simulate(arguments)
    except HbvlaError as error:
        print(f'demo: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('demo: stopped', file=sys.stderr)
        return 130
    folder = arguments.out.resolve()
    print(f'{text}\nsummary: {folder / "summary.json"}\npicture: {folder / "report.html"}')
    if summary['problems']:
        print('demo: ' + '; '.join(summary['problems']), file=sys.stderr)
        return 1
    return 0


def _replay(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    summary = run_replay_demo(
        ReplayDemo(
            arguments.out.resolve(), arguments.checkpoint, arguments.bag, arguments.keep_running
        )
    )
    return summary, replay_report.text_summary(summary)


def _simulate(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    summary = run_sim_demo(
        SimDemo(
            folder=arguments.out.resolve(),
            checkpoint=arguments.checkpoint or shipped_policy(),
            task=arguments.task,
            instruction=arguments.instruction,
            method=FULL_PRECISION if arguments.full_precision else arguments.method,
            episodes=arguments.episodes,
            demonstrations=arguments.demonstrations,
            seed=arguments.seed,
            rate=arguments.rate,
            record=arguments.record,
            keep_running=arguments.keep_running,
        )
    )
    return summary, sim_report.text_summary(summary)


if __name__ == '__main__':
    sys.exit(main())
