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
The demonstration: checkpoint, recording, quantization, two nodes and a player over real DDS.

Everything is made on the spot: a tiny checkpoint of the published layout and a recorded episode,
if they are not given. The network is untrained, so what the robot does means nothing; what it
takes to get there is real. Exit status 0 means that actions flowed and every process ended well.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
import os
from pathlib import Path
import shutil
import sys
import time
from typing import Any

from hbvla_ros.bringup.demo_report import Command, make_summary, text_summary, write_report
from hbvla_ros.bringup.graph import build_graph, EXECUTOR, NodeSpec, PLAYER, POLICY, QUANTIZE
from hbvla_ros.bringup.process import BringupError
from hbvla_ros.bringup.runner import GraphRunner
from hbvla_ros.core.bag import bag_topics
from hbvla_ros.core.errors import HbvlaError
from hbvla_ros.core.robot import find_robot, RobotSpec
from hbvla_ros.core.share import robots_folder
from hbvla_ros.evaluate.synthetic import EpisodeConfig, write_demo_bag

_ROBOT = 'mobile_aloha'
_COMMANDS = 'trajectory_msgs/msg/JointTrajectory'
_SECONDS = 10.0
_DOMAIN = 83  # apart from robots, which mostly live in 0


@dataclass(frozen=True)
class DemoConfig:
    """What to run and where to put it."""

    folder: Path
    checkpoint: Path | None
    bag: Path | None
    keep_running: bool


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of ``scripts/demo``."""
    parser = argparse.ArgumentParser(
        prog='./scripts/demo',
        description='Quantize a policy to one bit per weight and drive a robot with it: cameras, '
        'joint states and instruction are played from a recording, joint commands come out.',
    )
    parser.add_argument('--checkpoint', type=Path, help='checkpoint to quantize (ALOHA preset)')
    parser.add_argument('--bag', type=Path, help='rosbag2 recording of robot mobile_aloha')
    parser.add_argument('--out', type=Path, default=Path('.cache/demo'), help='folder of results')
    parser.add_argument(
        '--keep-running', action='store_true', help='leave the nodes running until Ctrl-C'
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the demonstration.

    :return: 0 if actions flowed and every process ended cleanly, 1 with the reason otherwise
    """
    arguments = build_parser().parse_args(argv)
    config = DemoConfig(
        arguments.out.resolve(), arguments.checkpoint, arguments.bag, arguments.keep_running
    )
    try:
        summary = run_demo(config)
    except HbvlaError as error:
        print(f'demo: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('demo: stopped', file=sys.stderr)
        return 130
    print(text_summary(summary))
    print(f'summary: {config.folder / "summary.json"}\npicture: {config.folder / "report.html"}')
    if summary['problems']:
        print('demo: ' + '; '.join(summary['problems']), file=sys.stderr)
        return 1
    return 0


def run_demo(config: DemoConfig) -> dict[str, Any]:
    """
    Make what is missing, quantize, run, and write the results.

    :return: the summary that was written to ``summary.json``
    :raises HbvlaError: if a step fails; with what the process said
    """
    started = time.monotonic()
    robot = find_robot(_ROBOT, robots_folder())
    config.folder.mkdir(parents=True, exist_ok=True)
    checkpoint = config.checkpoint or _tiny_checkpoint(config.folder / 'checkpoint')
    bag = config.bag or _recording(config.folder / 'bag', robot)
    artifact = config.folder / 'artifact'
    shutil.rmtree(artifact, ignore_errors=True)
    with _runner(_quantize_graph(checkpoint, bag, artifact)) as runner:
        _finish(runner, QUANTIZE, 600.0)
        results = runner.stop()
    commands: list[Command] = []
    with _runner(_policy_graph(artifact, bag)) as runner:
        statuses = _drive(runner, robot, bag, commands, keep_running=config.keep_running)
        results = {**results, **runner.stop(), **statuses.pop('results')}
    summary = make_summary(artifact, statuses, results, commands)
    summary['wall_s'] = round(time.monotonic() - started, 1)
    write_report(config.folder, summary, commands, robot, bag)
    return summary


def _tiny_checkpoint(path: Path) -> Path:
    if not path.exists():
        from hbvla_ros.models.tiny import write_tiny_checkpoint  # loads torch

        print(f'writing a tiny OpenVLA-OFT checkpoint to {path}', flush=True)
        write_tiny_checkpoint(path)
    return path


def _recording(path: Path, robot: RobotSpec) -> Path:
    if not path.exists():
        print(f'recording {_SECONDS:.0f} s of a make-believe {robot.name} to {path}', flush=True)
        write_demo_bag(path, robot, EpisodeConfig(seconds=_SECONDS))
    return path


def _runner(specs: Sequence[NodeSpec]) -> GraphRunner:
    domain = int(os.environ.get('ROS_DOMAIN_ID', _DOMAIN))
    environment = {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST', **os.environ}
    return GraphRunner(
        specs,
        domain_id=domain,
        environment=environment,
        on_line=lambda name, line: print(f'[{name}] {line}', flush=True),
    )


def _quantize_graph(checkpoint: Path, bag: Path, artifact: Path) -> list[NodeSpec]:
    values = {
        'checkpoint': str(checkpoint.resolve()),
        'output': str(artifact),
        'calibration': str(bag.resolve()),
        'robot': _ROBOT,
    }
    return build_graph('quantize', values, os.environ)


def _policy_graph(artifact: Path, bag: Path) -> list[NodeSpec]:
    compressed = any(kind.endswith('CompressedImage') for kind in bag_topics(bag).values())
    values = {
        'model_path': str(artifact),
        'robot': _ROBOT,
        'use_sim_time': 'true',  # the player publishes the clock of the recording
        'image_transport': 'compressed' if compressed else 'raw',
        'command_adapter': 'joint_trajectory',
    }
    return build_graph('policy', values, os.environ)


def _player(bag: Path, robot: RobotSpec, env: dict[str, str]) -> NodeSpec:
    return NodeSpec(
        executable='bag_player',
        name=PLAYER,
        parameters={'bag': str(bag.resolve()), 'topics': list(robot.input_topics)},
        env=env,
        ends_graph=True,
    )


def _finish(runner: GraphRunner, name: str, timeout_s: float) -> None:
    """Wait for a process that ends by itself."""
    process = runner.processes[name]
    process.wait(timeout_s)
    if process.exit_code != 0:
        raise BringupError(process.obituary())


def _drive(
    runner: GraphRunner,
    robot: RobotSpec,
    bag: Path,
    commands: list[Command],
    *,
    keep_running: bool,
) -> dict[str, Any]:
    """Activate the nodes, enable motion, play the recording; return what everybody reported."""
    runner.activate()
    for group in robot.outputs:
        runner.listen(f'/{group.topic}', _COMMANDS, _noting(commands, group.topic))
    runner.call_set_bool(f'/{EXECUTOR}/enable', value=True)
    env = dict(runner.processes[POLICY].spec.env)
    with _runner([_player(bag, robot, env)]) as player:
        _finish(player, PLAYER, 600.0)
        time.sleep(1.2)  # the nodes report once per second
        statuses: dict[str, Any] = {
            PLAYER: player.latest_status(PLAYER),
            POLICY: runner.latest_status(POLICY),
            EXECUTOR: runner.latest_status(EXECUTOR),
            'results': player.stop(),
        }
    runner.check()
    if keep_running:
        _wait_for_interrupt(runner)
    return statuses


def _noting(commands: list[Command], topic: str) -> Any:
    def note(message: Any) -> None:
        names, positions = list(message.joint_names), list(message.points[0].positions)
        # The header stamp of a trajectory for ros2_control is 0, which means "start now".
        commands.append(Command(time.monotonic(), topic, names, positions))

    return note


def _wait_for_interrupt(runner: GraphRunner) -> None:
    print('the nodes keep running; press Ctrl-C to end', flush=True)
    try:
        while True:
            runner.check()
            time.sleep(0.2)
    except KeyboardInterrupt:
        print('ending', flush=True)


if __name__ == '__main__':
    sys.exit(main())
