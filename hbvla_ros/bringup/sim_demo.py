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
The demonstration in closed loop: 1-bit weights drive the simulated robot over real DDS.

A policy is quantized on the spot, calibrated with the expert's demonstrations. Then the simulator,
the policy node and the action executor run as three processes, and episode after episode is begun,
enabled, and judged by the simulator.
"""

from dataclasses import dataclass
import json
import os
from pathlib import Path
import time
from typing import Any

from hbvla_ros.bringup.demo_parts import (
    Command,
    COMMANDS,
    demo_runner,
    noting,
    REPORT_S,
    wait_for_interrupt,
)
from hbvla_ros.bringup.graph import build_graph, EXECUTOR, POLICY, SIM, SIM_ROBOT
from hbvla_ros.bringup.runner import GraphRunner
from hbvla_ros.bringup.sim_artifact import check_method, make_artifact
from hbvla_ros.bringup.sim_recording import Recorder, replayed
from hbvla_ros.bringup.sim_report import FilmStrip, make_summary, write_report
from hbvla_ros.core.errors import ConfigError
from hbvla_ros.core.robot import find_robot, RobotSpec
from hbvla_ros.core.share import robots_folder
from hbvla_ros.evaluate.sim.live import seeds_of

_EPISODE_S = 120.0  # of real time; a busy machine lets simulated time pass slower
_CHUNK_S = 30.0


@dataclass(frozen=True, kw_only=True)
class SimDemo:
    """What to run and where to put it; ``method`` as in ``make_artifact``."""

    folder: Path
    checkpoint: Path
    task: str = 'aloha_pick'
    instruction: str = ''
    method: str = 'hbvla_plus'
    episodes: int = 5
    demonstrations: int = 64
    seed: int = 920_000
    rate: float = 1.0
    record: bool = False
    keep_running: bool = False

    def __post_init__(self) -> None:
        for name in ('episodes', 'demonstrations'):
            if getattr(self, name) < 1:
                raise ConfigError(f'{name} must be at least 1, got {getattr(self, name)}')
        if not self.checkpoint.is_dir():
            raise ConfigError(
                f'no checkpoint {self.checkpoint}; give --checkpoint, or --replay for the demo '
                'without a simulator'
            )


def run_sim_demo(config: SimDemo) -> dict[str, Any]:
    """
    Quantize, run the episodes, and write the results.

    :return: the summary that was written to ``summary.json``
    :raises HbvlaError: if a step fails; with what the process said
    """
    started = time.monotonic()
    check_method(config.method)
    next(seeds_of(config.task, config.seed, config.instruction))  # names that are none: at once
    robot = find_robot(SIM_ROBOT, robots_folder())
    config.folder.mkdir(parents=True, exist_ok=True)
    artifact = config.folder / 'artifact'
    results = make_artifact(
        config.folder, config.checkpoint, config.method, robot, config.demonstrations
    )
    values = {
        'model_path': str(artifact),
        'task': config.task,
        'instruction': config.instruction,
        'seed': str(config.seed),
        'rate': str(config.rate),
        'command_adapter': 'joint_trajectory',
    }
    commands: list[Command] = []
    film = FilmStrip()
    with demo_runner(build_graph('simulation', values, os.environ)) as runner:
        recorder = Recorder(runner, robot) if config.record else None
        _listen(runner, robot, commands, film)
        statuses = _run_episodes(runner, config.episodes, film)
        if config.keep_running:
            wait_for_interrupt(runner)
        results |= runner.stop()
    summary = make_summary(artifact, statuses, results, commands)
    summary['task'] = config.task
    if recorder is not None:
        bag = recorder.save(config.folder / 'bag')
        summary['replay'] = replayed(bag, robot, artifact)
    summary['wall_s'] = round(time.monotonic() - started, 1)
    write_report(config.folder, summary, commands, robot, film)
    return summary


def _listen(
    runner: GraphRunner, robot: RobotSpec, commands: list[Command], film: FilmStrip
) -> None:
    for group in robot.outputs:
        runner.listen(f'/{group.topic}', COMMANDS, noting(commands, group.topic))
    camera = robot.cameras[-1]
    runner.listen(f'/{camera.topic}', 'sensor_msgs/msg/Image', film.note)


class _LastChunk:
    """When the observation behind the newest chunk was made, in ns of simulated time."""

    def __init__(self) -> None:
        self.stamp_ns = 0

    def note(self, message: Any) -> None:
        stamp = message.header.stamp
        self.stamp_ns = stamp.sec * 1_000_000_000 + stamp.nanosec


def _run_episodes(runner: GraphRunner, episodes: int, film: FilmStrip) -> dict[str, Any]:
    """Activate the nodes and let one episode follow the other; return what everybody says."""
    runner.activate()
    last = _LastChunk()
    runner.listen(f'/{POLICY}/action_chunk', COMMANDS, last.note)
    runner.wait_until(lambda: _outcomes(runner) is not None, _CHUNK_S, 'the simulated world')
    for number in range(episodes):
        outcome = _run_episode(runner, number, last, film)
        word = 'success' if outcome['success'] else 'no success'
        print(
            f'episode {number + 1} of {episodes}: {word} after {outcome["time_s"]:.1f} s: '
            f'{outcome["instruction"]}',
            flush=True,
        )
    time.sleep(REPORT_S)
    return {name: runner.latest_status(name) for name in (SIM, POLICY, EXECUTOR)}


def _run_episode(
    runner: GraphRunner, number: int, last: _LastChunk, film: FilmStrip
) -> dict[str, Any]:
    begins = json.loads(runner.call_trigger(f'/{SIM}/begin'))
    film.begin(begins['seed'])
    # Motion is enabled once the policy has seen the new scene.
    runner.wait_until(lambda: last.stamp_ns > begins['after_ns'], _CHUNK_S, 'a chunk')
    runner.call_set_bool(f'/{EXECUTOR}/enable', value=True)
    runner.wait_until(
        lambda: len(_outcomes(runner) or ()) > number, _EPISODE_S, 'the end of an episode'
    )
    runner.call_set_bool(f'/{EXECUTOR}/enable', value=False)
    outcome: dict[str, Any] = (_outcomes(runner) or [])[number]
    film.end(success=outcome['success'])
    return outcome


def _outcomes(runner: GraphRunner) -> list[dict[str, Any]] | None:
    found: list[dict[str, Any]] | None = runner.latest_status(SIM).get('outcomes')
    return found
