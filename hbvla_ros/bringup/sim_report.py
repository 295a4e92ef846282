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
"""What the closed-loop demonstration shows: summary, film strip, commanded joints, latency."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
import io
import json
from pathlib import Path
from typing import Any

from hbvla_ros.artifact.store import read_manifest
from hbvla_ros.bringup.demo_parts import Command
from hbvla_ros.bringup.graph import EXECUTOR, POLICY, SIM
from hbvla_ros.bringup.process import ProcessResult
from hbvla_ros.core import page
from hbvla_ros.core.decode import to_rgb
from hbvla_ros.core.robot import RobotSpec
import numpy as np
from numpy.typing import NDArray

_SHOWN = 6  # pictures per episode in the strip
_COLOURS = {True: (0, 158, 115), False: (213, 94, 0)}
_BORDER = 3  # pixels


@dataclass
class _Episode:
    seed: int
    success: bool = False
    frames: list[NDArray[np.uint8]] = field(default_factory=list)


class FilmStrip:
    """The pictures of one camera, episode by episode, as they came over DDS."""

    def __init__(self) -> None:
        """Begin without an episode."""
        self._episodes: list[_Episode] = []
        self._running: _Episode | None = None

    def note(self, message: Any) -> None:
        """Take a ``sensor_msgs/Image``; those between episodes are dropped."""
        if self._running is not None:
            self._running.frames.append(to_rgb(message))

    def begin(self, seed: int) -> None:
        """Start an episode."""
        self._running = _Episode(seed)
        self._episodes.append(self._running)

    def end(self, *, success: bool) -> None:
        """End the running episode."""
        if self._running is not None:
            self._running.success = success
        self._running = None

    def picture(self) -> bytes:
        """Return one row per episode as the bytes of a PNG file; a frame tells how it ended."""
        from PIL import Image

        rows = [_row(one) for one in self._episodes if one.frames]
        sheet = np.concatenate(rows) if rows else np.zeros((1, 1, 3), np.uint8)
        image = Image.fromarray(sheet)
        buffer = io.BytesIO()
        image.resize((2 * image.width, 2 * image.height), Image.Resampling.NEAREST).save(
            buffer, 'PNG', optimize=True
        )
        return buffer.getvalue()


def _row(one: _Episode) -> NDArray[np.uint8]:
    chosen = np.linspace(0, len(one.frames) - 1, _SHOWN).round().astype(int)
    framed = []
    for index in chosen:
        frame = np.pad(one.frames[index], ((_BORDER, _BORDER), (_BORDER, _BORDER), (0, 0)))
        inside = np.zeros(frame.shape[:2], bool)
        inside[_BORDER:-_BORDER, _BORDER:-_BORDER] = True
        frame[~inside] = _COLOURS[one.success]
        framed.append(frame)
    return np.concatenate(framed, 1)


def make_summary(
    artifact: Path,
    statuses: Mapping[str, Any],
    results: Mapping[str, ProcessResult],
    commands: Sequence[Command],
) -> dict[str, Any]:
    """
    Put together what the processes reported.

    :param artifact: folder of the packed policy
    :param statuses: last status by node
    :param results: exit code and peak memory by process
    :param commands: as received
    :return: plain JSON values; ``problems`` is empty if every process ended well
    """
    manifest = read_manifest(artifact)
    outcomes = statuses[SIM]['outcomes']
    exits = {name: result.exit_code for name, result in results.items()}
    return {
        'episodes': len(outcomes),
        'successes': sum(outcome['success'] for outcome in outcomes),
        'outcomes': outcomes,
        'method': manifest.job['method'],
        'bits_sign': manifest.totals['bits_sign'],
        'bits_stored': manifest.totals['bits_stored'],
        'artifact_bytes': sum(file.stat().st_size for file in artifact.iterdir()),
        'chunks': statuses[POLICY].get('chunks', 0),
        'commands': len(commands),
        'kernel': statuses[POLICY].get('policy', {}).get('kernel', ''),
        'latency_ms': {
            'inference': statuses[POLICY].get('inference', {}),
            'observation_to_command': statuses[EXECUTOR].get('observation_to_command', {}),
        },
        'peak_rss_mib': {
            name: None if result.peak_rss_mib is None else round(result.peak_rss_mib, 1)
            for name, result in results.items()
        },
        'holds': statuses[EXECUTOR].get('holds', {}),
        'clamps': statuses[EXECUTOR].get('clamps', {}),
        'simulated_s': statuses[SIM]['time_s'],
        'slower_than_asked_s': statuses[SIM]['slower_than_asked_s'],
        'exit_codes': exits,
        'problems': [
            f'{name} ended with exit code {code}' for name, code in exits.items() if code
        ],
    }


def text_summary(summary: Mapping[str, Any]) -> str:
    """Return the summary of a closed-loop demonstration for a terminal."""
    latency = summary['latency_ms']
    memory = ', '.join(f'{name} {peak} MiB' for name, peak in summary['peak_rss_mib'].items())
    lines = {
        'succeeded': f'{summary["successes"]} of {summary["episodes"]} episodes of '
        f'{summary["task"]}',
        'weights': f'{summary["method"]}, {summary["bits_sign"]:.3f} sign bits, '
        f'{summary["bits_stored"]:.3f} stored bits',
        'artifact': f'{summary["artifact_bytes"] / 1e6:.2f} MB',
        'chunks and commands': f'{summary["chunks"]}, {summary["commands"]}',
        'inference': _pair(latency['inference']),
        'observation to command': _pair(latency['observation_to_command']),
        'peak memory': memory,
    }
    if 'replay' in summary:
        lines['replayed'] = str(summary['replay'])
    return '\n'.join(f'{name:>24}: {value}' for name, value in lines.items())


def _pair(durations: Mapping[str, float]) -> str:
    if not durations:
        return 'none measured'
    return f'p50 {durations["p50_ms"]:.1f} ms, p99 {durations["p99_ms"]:.1f} ms'


def write_report(
    folder: Path,
    summary: Mapping[str, Any],
    commands: Sequence[Command],
    robot: RobotSpec,
    film: FilmStrip,
) -> None:
    """
    Write ``summary.json``, ``film.png``, ``commands.png`` and the self-contained ``report.html``.

    :param folder: exists
    :param summary: from :func:`make_summary`
    :param commands: as received
    :param robot: names the outputs
    :param film: of the episodes
    """
    (folder / 'summary.json').write_text(json.dumps(summary, indent=1) + '\n', encoding='utf-8')
    pictures = {'film.png': film.picture(), 'commands.png': joints_picture(commands, robot)}
    for name, picture in pictures.items():
        (folder / name).write_bytes(picture)
    parts = [
        f'{summary["successes"]} of {summary["episodes"]} episodes of {summary["task"]} '
        'succeeded. The simulated robot was driven over DDS, and what is shown came over DDS.',
        page.heading('What happened'),
        'One row per episode, from begin to end; green frames mean success.',
        page.picture(pictures['film.png'], 'film strip of the episodes'),
        page.heading('What was commanded'),
        page.picture(pictures['commands.png'], 'commanded joints'),
        page.heading('All facts'),
        page.facts_table({n: page.preformatted(_pretty(v)) for n, v in summary.items()}),
    ]
    title = 'A simulated ALOHA driven by ' + (f'{summary["bits_sign"]:.2f}-bit weights')
    (folder / 'report.html').write_text(page.page(title, parts), encoding='utf-8')


def _pretty(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=1)


def joints_picture(commands: Sequence[Command], robot: RobotSpec) -> bytes:
    """
    Draw the commanded joints over time as the bytes of a PNG file.

    :param commands: as received
    :param robot: names the outputs
    """
    import matplotlib as mpl

    mpl.use('Agg')
    from matplotlib import pyplot as plt

    figure, grid = plt.subplots(
        len(robot.outputs), figsize=(12, 2.8 * len(robot.outputs)), layout='constrained'
    )
    start = min((command.time_s for command in commands), default=0.0)
    for axes, group in zip(np.atleast_1d(grid), robot.outputs, strict=True):
        mine = [command for command in commands if command.topic == group.topic]
        axes.set(title=group.topic, ylabel='position (rad or m)', xlabel='real time (s)')
        if mine:
            times = [command.time_s - start for command in mine]
            positions = [command.positions for command in mine]
            axes.plot(times, positions, '.', label=mine[0].names, markersize=2)
            axes.legend(loc='center left', bbox_to_anchor=(1, 0.5), fontsize='small')
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=100)
    plt.close(figure)
    return buffer.getvalue()
