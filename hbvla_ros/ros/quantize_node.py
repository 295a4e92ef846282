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
The node that turns a checkpoint into a packed artifact, once, and ends.

The parameters are the fields of ``QuantizeJob``; progress goes to ``~/progress`` (JSON), to the
status and to the log. Exit status: 0 done, 1 failed with the reason in the log, 130 interrupted.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict
import json
from pathlib import Path
import sys
import threading
import time
import traceback
from typing import Any

from hbvla_ros.core.errors import HbvlaError
from hbvla_ros.core.share import robots_folder
from hbvla_ros.quantize.progress import Progress, progress_line, TimeLeft
from hbvla_ros.ros import qos
from hbvla_ros.ros.diagnostics import Level, Report, Reporter
from hbvla_ros.ros.node_main import run
from hbvla_ros.ros.parameters import declare, read
from rclpy.node import Node
from std_msgs.msg import String

_REPORT_S = 1.0
_STOP_S = 10.0  # how long an interrupt waits for the step that is under way
_INTERRUPTED = 130
RunJob = Callable[[Any, Path], Iterator[Progress]]


class QuantizeNode(Node):
    """``hbvla_quantize``."""

    def __init__(self, job_class: Any, run_job: RunJob, **options: Any) -> None:
        """
        Read the parameters and start the job in a thread of its own.

        :param job_class: ``QuantizeJob``
        :param run_job: yields progress until the artifact and its report exist
        :param options: passed on to rclpy
        :raises ConfigError: if a parameter or the job makes no sense
        """
        super().__init__('hbvla_quantize', **options)
        declare(self, job_class)
        self.exit_status: int | None = None
        self._job = read(self, job_class)
        self._steps = run_job(self._job, robots_folder())
        self._news: deque[Any] = deque()  # Progress, an exception, or None at the end
        self._stop = threading.Event()
        self._progress: dict[str, Any] = {}
        self._left = TimeLeft(time.monotonic())
        self._report = Report(Level.OK, 'starting', {'job': asdict(self._job)})
        self._publisher = self.create_publisher(String, '~/progress', qos.STATUS)
        self._reporter = Reporter(self, _REPORT_S, lambda: self._report)
        self._guard = self.create_guard_condition(self._on_news)
        self._thread = threading.Thread(target=self._work, name='hbvla_quantize', daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ask the job to end after its present step, and wait for that a while."""
        self._stop.set()
        self._thread.join(_STOP_S)
        if self.exit_status is None:
            self.get_logger().warning('interrupted before the job was done')

    def _work(self) -> None:
        try:
            self._run_steps()
        except Exception as error:  # whatever it is, the node must end with it
            self._tell(error)

    def _run_steps(self) -> None:
        for progress in self._steps:
            if self._stop.is_set():
                return
            self._tell(progress)
        self._tell(None)

    def _tell(self, news: Any) -> None:
        self._news.append(news)
        if not self._stop.is_set():
            self._guard.trigger()

    def _on_news(self) -> None:
        while self._news:
            news = self._news.popleft()
            if news is None:
                self._end(0, Level.OK, f'done: {self._job.output}')
            elif isinstance(news, Exception):
                self._fail(news)
            else:
                self._show(news)

    def _show(self, progress: Progress) -> None:
        left_s = self._left.update(progress, time.monotonic())
        self._progress = {**asdict(progress), 'stage_seconds_left': left_s}
        line = progress_line(progress, left_s)
        self.get_logger().info(line)
        self._publisher.publish(String(data=json.dumps(self._progress)))
        self._say(Level.OK, line)

    def _fail(self, error: Exception) -> None:
        if not isinstance(error, HbvlaError):
            self.get_logger().error(''.join(traceback.format_exception(error)))
        self._end(1, Level.ERROR, f'failed: {type(error).__name__}: {error}')

    def _end(self, status: int, level: Level, message: str) -> None:
        # One line each: rclpy refuses two severities from one place in the code.
        if status == 0:
            self.get_logger().info(message)
        else:
            self.get_logger().fatal(message)
        self._say(level, message)
        self.exit_status = status

    def _say(self, level: Level, message: str) -> None:
        self._report = Report(level, message, {'job': asdict(self._job), **self._progress})
        self._reporter.publish()


def _make_node() -> QuantizeNode:
    # Torch takes seconds to import: by now the process answers to signals.
    from hbvla_ros.quantize.job import QuantizeJob
    from hbvla_ros.quantize.pipeline import run_job

    return QuantizeNode(QuantizeJob, run_job)


def main(args: list[str] | None = None) -> int:
    """Run the job and return its exit status."""
    return run(_make_node, args, interrupted=_INTERRUPTED)


if __name__ == '__main__':
    sys.exit(main())
