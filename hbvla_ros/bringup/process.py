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
One node as a process of its own: its command line, its output, its memory and its end.

Knows nothing of ROS beyond the form of the command line. Every process gets a session of its own,
so that Ctrl-C in a terminal reaches only who started it, and is passed on exactly once.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
import os
from pathlib import Path
import re
import signal
import subprocess
import sys
import threading

from hbvla_ros.bringup.graph import NodeSpec, PACKAGE
from hbvla_ros.core.errors import HbvlaError
import yaml

_TAIL = 20  # lines kept for error messages


class BringupError(HbvlaError):
    """A node died, did not answer or refused to start."""


@dataclass(frozen=True, slots=True)
class ProcessResult:
    """
    How a process ended.

    ``exit_code`` is negative for the number of the signal that killed it. ``peak_rss_mib`` is the
    most memory it ever had resident, None if it had ended before anybody could ask.
    """

    exit_code: int
    peak_rss_mib: float | None


class NodeProcess:
    """A running node."""

    def __init__(
        self,
        spec: NodeSpec,
        folder: Path,
        environment: Mapping[str, str],
        on_line: Callable[[str, str], None],
    ) -> None:
        """
        Start it.

        :param spec: what to run
        :param folder: for its parameter file; must outlive the process
        :param environment: the variables that it inherits; those of ``spec`` win
        :param on_line: called in a thread with its name and each line of its output
        :raises BringupError: if the executable can't be started
        """
        self.spec = spec
        self._on_line = on_line
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._peak_rss_mib: float | None = None
        variables = {**environment, **spec.env, 'PYTHONUNBUFFERED': '1'}
        program = _program(spec.executable, variables)
        try:
            self._process = subprocess.Popen(
                [*program, *_arguments(spec, folder)],
                env=variables,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors='replace',
                start_new_session=True,
            )
        except OSError as error:
            raise BringupError(f'{spec.name}: cannot start {program}: {error}') from error
        self._reader = threading.Thread(target=self._read, name=spec.name, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Return the number of the process."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._process.poll()

    def tail(self) -> str:
        """Return the last lines of its output, complete once it has ended."""
        if self.exit_code is not None:
            self._reader.join(timeout=1.0)
        return '\n'.join(self._tail)

    def obituary(self) -> str:
        """Say which node ended, how, and what it said last."""
        return f'{self.spec.name} ended with exit code {self.exit_code}; it said:\n{self.tail()}'

    def send(self, number: signal.Signals) -> None:
        """Note the memory it used and send a signal; nothing happens if it has ended."""
        self._note_memory()
        if self.exit_code is None:
            self._process.send_signal(number)

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; return False if it still runs."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def result(self) -> ProcessResult:
        """Wait for its end and say how it was."""
        code = self._process.wait()
        self._reader.join(timeout=1.0)
        return ProcessResult(code, self._peak_rss_mib)

    def _note_memory(self) -> None:
        try:
            status = Path(f'/proc/{self.pid}/status').read_text(encoding='ascii')
        except OSError:
            return
        found = re.search(r'^VmHWM:\s+(\d+) kB', status, re.MULTILINE)
        if found:
            self._peak_rss_mib = int(found[1]) / 1024

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                self._note_memory()  # a node that ends by itself can't be asked later
                self._tail.append(line.rstrip('\n'))
                self._on_line(self.spec.name, self._tail[-1])


def _program(executable: str, environment: Mapping[str, str]) -> list[str]:
    """Return the installed executable, or its module where the package is only on the path."""
    for prefix in filter(None, environment.get('AMENT_PREFIX_PATH', '').split(os.pathsep)):
        installed = Path(prefix) / 'lib' / PACKAGE / executable
        if installed.is_file():
            return [str(installed)]
    return [sys.executable, '-m', f'{PACKAGE}.ros.{executable}']


def _arguments(spec: NodeSpec, folder: Path) -> list[str]:
    words = ['--ros-args', '-r', f'__node:={spec.name}', '--log-level', spec.log_level]
    if spec.namespace:
        words += ['-r', f'__ns:=/{spec.namespace.strip("/")}']
    for old, new in spec.remappings:
        words += ['-r', f'{old}:={new}']
    for path in spec.parameter_files:
        words += ['--params-file', path]
    if spec.parameters:
        # A file and not -p name:=value, which would read every text as YAML.
        own = folder / f'{spec.name}.yaml'
        content = {'/**': {'ros__parameters': dict(spec.parameters)}}
        own.write_text(yaml.safe_dump(content), encoding='utf-8')
        words += ['--params-file', str(own)]
    return words
