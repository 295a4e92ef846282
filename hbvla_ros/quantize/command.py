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
The command line that repeats a job.

Settings at their defaults are left out. A manifest holds the others, but not where things lay:
its command names those places in capitals.
"""

from collections.abc import Mapping
from pathlib import Path
import shlex
from typing import Any

from hbvla_ros.core.errors import ConfigError
from hbvla_ros.core.share import robots_folder
from hbvla_ros.quantize.job import QuantizeJob
from hbvla_ros.quantize.samples import SYNTHETIC


def quantize_command(job: QuantizeJob, robots: Path | None = None) -> str:
    """
    Return the ``hbvla_quantize`` command of a job, quoted for a shell.

    :param job: what was done
    :param robots: folder of the robot files; named if it is not the one that we ship
    """
    words = ['hbvla_quantize']
    for name, value in job.chosen().items():
        words += _words(name.replace('_', '-'), value)
    if robots is not None and robots.resolve() != _shipped():
        words += ['--robots', str(robots)]
    return shlex.join(words)


def command_of_artifact(chosen: Mapping[str, Any], calibration: str) -> str:
    """
    Return the command that an artifact was made with.

    :param chosen: settings that were not at their defaults, from the manifest
    :param calibration: kind of the data, from the manifest
    """
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in chosen.items()}
    source = SYNTHETIC if calibration == SYNTHETIC else 'RECORDING'
    job = QuantizeJob(checkpoint='CHECKPOINT', output='OUTPUT', calibration=source, **values)
    return quantize_command(job)


def _shipped() -> Path | None:
    try:
        return robots_folder().resolve()
    except ConfigError:
        return None


def _words(option: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f'--{option}' if value else f'--no-{option}']
    if isinstance(value, tuple):
        return [f'--{option}', *value]
    # A value that begins with a dash would be read as an option.
    return [f'--{option}={value}'] if str(value).startswith('-') else [f'--{option}', str(value)]
