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

"""What the console scripts share: the settings of a job as options, and how progress is shown."""

import argparse
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields
import json
from pathlib import Path
import sys
import time
from typing import Any

from hbvla_ros.core.page import write_whole
from hbvla_ros.core.share import robots_folder
from hbvla_ros.quantize.job import QuantizeJob
from hbvla_ros.quantize.progress import Progress, progress_line, TimeLeft
from tqdm import tqdm


def add_settings(
    parser: argparse.ArgumentParser, without: Collection[str] = (), needed: Collection[str] = ()
) -> None:
    """
    Add one option per field of a job, and ``--robots``.

    :param parser: gets the options
    :param without: fields that make no sense here
    :param needed: fields that must be given
    """
    for entry in fields(QuantizeJob):
        if entry.name in without:
            continue
        shape: dict[str, Any] = {'type': type(entry.default)}
        if isinstance(entry.default, bool):
            shape = {'action': argparse.BooleanOptionalAction}
        elif isinstance(entry.default, tuple):
            shape = {'type': str, 'nargs': '*'}
        parser.add_argument(
            f'--{entry.name.replace("_", "-")}',
            default=entry.default,
            required=entry.name in needed,
            help=f'{entry.metadata["description"]} (default: {entry.default})',
            **shape,
        )
    parser.add_argument('--robots', type=Path, default=None, help='folder of robot files')


def read_settings(arguments: argparse.Namespace, **given: Any) -> QuantizeJob:
    """
    Return the job that the options describe.

    :param arguments: parsed by what :func:`add_settings` made
    :param given: fields that are no options
    :raises ConfigError: for a value out of range
    """
    names = [entry.name for entry in fields(QuantizeJob) if entry.name not in given]
    values = {name: getattr(arguments, name) for name in names if hasattr(arguments, name)}
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return QuantizeJob(**{**values, **lists, **given})


def add_results(parser: argparse.ArgumentParser) -> None:
    """Add ``--json`` and ``--html``."""
    parser.add_argument('--json', type=Path, help='write the numbers here')
    parser.add_argument('--html', type=Path, help='write a page here')


def write_results(
    arguments: argparse.Namespace, facts: Mapping[str, Any], page: Callable[[Any], str]
) -> None:
    """
    Write what ``--json`` and ``--html`` ask for.

    :param arguments: parsed by what :func:`add_results` made
    :param facts: plain JSON values
    :param page: makes a page of them
    :raises OSError: if a file can't be written
    """
    if arguments.json is not None:
        write_whole(arguments.json, json.dumps(facts, indent=1) + '\n')
    if arguments.html is not None:
        write_whole(arguments.html, page(facts))


def robots_of(arguments: argparse.Namespace) -> Path:
    """Return the folder of robot files that was named, or the one that we ship."""
    folder: Path | None = arguments.robots
    return robots_folder() if folder is None else folder


def show_progress(steps: Iterable[Progress], clock: Callable[[], float] = time.monotonic) -> None:
    """Go through the steps of a job: a bar on a terminal, otherwise a line per step."""
    left, plain = TimeLeft(clock()), not sys.stderr.isatty()
    form = '{percentage:3.0f}%|{bar:16}| {elapsed} {desc}'
    with tqdm(disable=plain, dynamic_ncols=True, bar_format=form) as bar:
        for step in steps:
            line = progress_line(step, left.update(step, clock()))
            if plain:
                print(line, file=sys.stderr)
            bar.total = step.total
            bar.set_description_str(line, refresh=False)
            bar.update(step.done - bar.n)
            bar.refresh()
