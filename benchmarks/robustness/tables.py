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
Put measured reactions, seams, jitter and endurance into ``doc/safety.md``.

    .venv/bin/python -m benchmarks.robustness.tables

Everything between ``<!-- table NAME -->`` and ``<!-- end -->`` is replaced.
"""

from collections.abc import Mapping, Sequence
import json
import re
from typing import Any

from benchmarks.record import REPOSITORY, RESULTS

PAGE = REPOSITORY / 'doc' / 'safety.md'
CORE, DDS = 'test/policy/test_promises.py', 'test/ros/test_promises.py'
# Promise and fault, in words; the order is that of the page.
FAULTS = {
    'camera_stops': (
        'A camera stops: no new chunk, motion ends with the last one, the status names the camera',
        "SIGKILL of the cameras' process; started again",
    ),
    'policy_killed': (
        'The policy dies: hold within the lease and one tick, and nothing after it',
        'SIGKILL of the policy; started again',
    ),
    'policy_stopped': (
        'The policy hangs: the same; what it saw before never moves the robot',
        'SIGSTOP, later SIGCONT',
    ),
    'bad_chunk': (
        'A chunk with NaN, Inf or a wrong shape is dropped whole; the plan goes on',
        'such chunks between those of the policy',
    ),
    'limits': (
        'No command breaks a limit, whatever arrives',
        'wild chunks; on the core arbitrary events in all modes',
    ),
    'emergency_stop': (
        'The stop is latched, survives a restart of the policy, and needs reset and enable',
        'the topic `estop`; the policy is killed and restarted meanwhile',
    ),
    'pause': (
        'A pause holds, leaves motion enabled, and only what is observed after it moves the robot',
        'the service `~/pause` while the policy goes on',
    ),
    'clock_jumps_back': (
        'Time goes back: everything is forgotten, nothing is sent',
        '`/clock` of a recording that begins again',
    ),
    'instruction_changes': (
        'Another instruction discards the chunk and those observed before it',
        'another text on the instruction topic',
    ),
    'late_chunks': ('Late, duplicate and old chunks are ignored', 'chunks 0.9 and 5 s old'),
    'bad_joint_states': (
        'Joints are read by name or refused; without them the robot holds',
        'a missing joint, NaN, then silence; on the core also another order',
    ),
    'bad_images': (
        'Images that can not be read are counted; a 4K image is read',
        'a short buffer, 16UC1, 3840x2160; on the core also nonsense sizes',
    ),
    'double_interrupt': (
        'Two SIGINT: exit status 0, the safety command is the last',
        'two signals 10 ms apart; on the core disabling',
    ),
    'inference_fails': (
        'An exception in the network: inactive with the reason, and hold',
        'a network that raises MemoryError; activated again',
    ),
    'wrong_qos': (
        'A publisher that can not be heard is named with its policy, while it is there',
        'a best-effort publisher on `estop`',
    ),
    'flooding': (
        'A flooded topic does not stop the motion',
        'joint states as fast as a process can publish, 1 s and 300 messages',
    ),
    'disk_full': ('A full disk for the log stops nothing', 'a full file system of 64 kB'),
}
_TESTS = {
    'disk_full': 'test_a_full_disk_for_the_log_stops_nothing',
    'clock_jumps_back': 'test_nothing_is_sent_when_a_recording_begins_again',
}


def fill(
    page: str,
    robustness: Mapping[str, Any],
    seams: Mapping[str, Any],
    endurance: Sequence[Mapping[str, Any]],
    pipeline: Mapping[str, Any],
) -> str:
    """
    Return the page with its tables as the results say.

    :param page: the present one
    :param robustness: contents of ``robustness.json``
    :param seams: contents of ``seams.json``
    :param endurance: rows of ``soak.json`` and ``fuzz.json``
    :param pipeline: contents of ``ros_pipeline.json``
    """
    for name, lines in (
        ('faults', _faults(robustness['rows'])),
        ('seams', _seams(seams['rows'])),
        ('endurance', _endurance(endurance)),
        ('jitter', _jitter(pipeline)),
    ):
        pattern = rf'(<!-- table {name} -->\n).*?(<!-- end -->)'
        body = '\n'.join(lines)
        page, count = re.subn(
            pattern, lambda m, b=body: f'{m[1]}{b}\n{m[2]}', page, flags=re.DOTALL
        )
        if count != 1:
            raise SystemExit(f'{PAGE}: there is no table {name}')
    return page


def _faults(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    measured = {row['fault']: row for row in rows}
    lines = [
        '| promise | how the fault is made | core | processes over Fast DDS | limit | test |',
        '|---|---|---|---|---|---|',
    ]
    for fault, (promise, injected) in FAULTS.items():
        row = measured[fault]
        core = _verdict(row, 'core_ok', 'core_reaction_ms')
        real = _verdict(row, 'dds_ok', 'reaction_ms')
        limit = '' if row['limit_ms'] is None else f'{row["limit_ms"]:.0f} ms'
        lines.append(
            f'| {promise} | {injected} | {core} | {real} | {limit} | {_test(fault, row)} |'
        )
    return lines


def _verdict(row: Mapping[str, Any], kept: str, reaction: str) -> str:
    if row[kept] is None:
        return 'not applicable'
    word = 'kept' if row[kept] else '**not kept**'
    reaction_ms = row[reaction]
    return word if reaction_ms is None else f'{word}, {reaction_ms:.0f} ms'


def _test(fault: str, row: Mapping[str, Any]) -> str:
    names = [] if row['core_ok'] is None else [f'`test_a_promise_is_kept[{fault}]`']
    if row['dds_ok'] is not None:
        names.append(f'`{_TESTS.get(fault, f"test_a_promise_is_kept_over_dds[{fault}]")}`')
    return ', '.join(names)


def _seams(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    modes = list(dict.fromkeys(row['mode'] for row in rows))
    delays = list(dict.fromkeys(row['delay_s'] for row in rows))
    cells = {(row['mode'], row['delay_s']): row for row in rows}
    lines = [
        '| mode | ' + ' | '.join(f'{delay} s' for delay in delays) + ' |',
        '|---|' + '---|' * len(delays),
    ]
    for mode in modes:
        shown = (
            f'{cells[mode, delay]["of_naive"]:.3f}, {cells[mode, delay]["backward_steps"]}'
            for delay in delays
        )
        lines.append(f'| {mode} | ' + ' | '.join(shown) + ' |')
    return lines


def _jitter(measured: Mapping[str, Any]) -> list[str]:
    lines = [
        '| executor | period p50 | p99 | longest | frames of three cameras received |',
        '|---|---|---|---|---|',
    ]
    for key, words in (
        ('live', 'as any process'),
        ('live_real_time', 'in the real-time class, `chrt --fifo 20`'),
    ):
        if key in measured:
            period, frames = measured[key]['period_ms'], measured[key]['frames_received_of_30_hz']
            times = ' | '.join(f'{period[name]:.1f} ms' for name in ('p50', 'p99', 'max'))
            lines.append(f'| {words} | {times} | {min(frames.values()):.1%} |')
    return lines


def _endurance(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = ['| what | how much | found |', '|---|---|---|']
    for row in rows:
        if 'part' in row:
            amount = f'{row["commands"]} commands'
            amount = f'{row["chunks"]} chunks, {amount}' if 'chunks' in row else amount
            amount = f'{row["minutes"]:g} min, {amount}' if 'minutes' in row else amount
            broken = f'{row["broken_limits"]} broken limits, ' if 'broken_limits' in row else ''
            found = f'{broken}memory {row["rss_drift_percent"]:+.1f} %, files {row["files"]:+d}'
            if 'shared_memory_files' in row:
                found += f', shared memory {row["shared_memory_files"]:+d}'
            lines.append(f'| soak: {row["part"].replace("_", " ")} | {amount} | {found} |')
        elif 'changed' in row:
            found = f'{len(row["unnoticed"])} unnoticed'
            ways = f', each in {row["ways"]} ways' if row.get('ways', 1) > 1 else ''
            amount = f'{row["changed"]} of {row["bytes"]} changed{ways}'
            lines.append(f'| {row["file"]} | {amount} | {found} |')
        elif 'inputs' in row:
            found = f'{row["findings"]} findings; {row["covered"]} branches covered'
            lines.append(f'| {row["file"]} | {row["inputs"]} inputs | {found} |')
        else:
            found = f'{row["findings"]} findings; {row["refused"]} refused'
            lines.append(f'| damaged: {row["file"]} | {row["damaged"]} times | {found} |')
    return lines


def results(name: str) -> Any:
    """Return the contents of ``benchmarks/results/<name>.json``."""
    return json.loads((RESULTS / f'{name}.json').read_text(encoding='utf-8'))


def made(page: str) -> str:
    """Return the page with its tables as all results files say."""
    endurance = [*results('soak'), *results('fuzz')]
    return fill(page, results('robustness'), results('seams'), endurance, results('ros_pipeline'))


def main() -> None:
    """Fill the page."""
    page = PAGE.read_text(encoding='utf-8')
    PAGE.write_text(made(page), encoding='utf-8')


if __name__ == '__main__':
    main()
