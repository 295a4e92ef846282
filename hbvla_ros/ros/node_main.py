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
Run one node until it is done or the operator stops it.

Ctrl-C reaches a node twice under ``ros2 launch`` (from the terminal and from launch itself). The
first signal ends the loop and from then on signals are ignored, so that the node can still send
its safety command, give everything back and exit with its own status.
"""

from collections.abc import Callable
import logging
import signal
from typing import Protocol

from hbvla_ros.core.errors import HbvlaError
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.logging import get_logger
from rclpy.signals import SignalHandlerOptions

_WAKE_S = 0.1  # how often the loop looks at the signals when nothing else happens


class Runnable(Protocol):
    """A node that :func:`run` can run."""

    exit_status: int | None  # set once the node has nothing more to do

    def close(self) -> None:
        """End all work; messages may still be published."""

    def destroy_node(self) -> None:
        """Give everything back."""


def run(
    make_node: Callable[[], Runnable], args: list[str] | None = None, *, interrupted: int = 0
) -> int:
    """
    Start ROS, run the node and shut down in order.

    :param make_node: builds the node
    :param args: command line; None takes that of the process
    :param interrupted: the exit status after SIGINT or SIGTERM
    :return: the exit status: the node's own, ``interrupted``, or 1 if it could not start
    """
    # rclpy's own handlers would close the context before the last command is out.
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    signals = _Signals()
    forward_logs()
    try:
        return _run(make_node, signals, interrupted)
    finally:
        rclpy.try_shutdown()


def _run(make_node: Callable[[], Runnable], signals: '_Signals', interrupted: int) -> int:
    node: Runnable | None = None
    try:
        node = make_node()
        return _spin(node, signals, interrupted)
    except (KeyboardInterrupt, RuntimeError, SystemError):
        # An interrupt amid a conversion inside rclpy comes out as an error of pybind11.
        if not signals.received:
            raise
        return interrupted
    except HbvlaError as error:
        get_logger('hbvla_ros').fatal(str(error))
        return 1
    finally:
        signals.ignore()
        if node is not None:
            node.close()
            node.destroy_node()


def _spin(node: Runnable, signals: '_Signals', interrupted: int) -> int:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while node.exit_status is None and not signals.received and rclpy.ok():
            executor.spin_once(timeout_sec=_WAKE_S)
    finally:
        executor.shutdown()
    return interrupted if node.exit_status is None else node.exit_status


class _Signals:
    """The first signal interrupts whatever runs; the ones after it are ignored."""

    def __init__(self) -> None:
        self.received = False
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)

    def ignore(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def _on_signal(self, *_: object) -> None:
        self.ignore()
        self.received = True  # should the exception be lost in a finalizer, the loop still ends
        raise KeyboardInterrupt


def forward_logs() -> None:
    """Send what the package logs through ``logging`` to the ROS log."""
    logger = logging.getLogger('hbvla_ros')
    logger.setLevel(logging.INFO)
    logger.addHandler(_RosHandler())
    logger.propagate = False


class _RosHandler(logging.Handler):
    """Pass a record on, at the severity that it has."""

    def emit(self, record: logging.LogRecord) -> None:
        logger, text = get_logger(record.name), record.getMessage()
        # One line each: rclpy refuses two severities from one place in the code.
        if record.levelno >= logging.ERROR:
            logger.error(text)
        elif record.levelno >= logging.WARNING:
            logger.warning(text)
        else:
            logger.info(text)
