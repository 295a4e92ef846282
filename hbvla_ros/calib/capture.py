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

"""Record what reaches a module while a model runs; hooks are always removed."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from hbvla_ros.core.errors import CalibrationError
import torch
from torch import nn


class _StopError(Exception):
    """Ends a forward pass once the input wanted has been seen."""


@contextmanager
def watch_inputs(
    modules: Mapping[str, nn.Module], see: Callable[[str, torch.Tensor], None]
) -> Iterator[None]:
    """
    Call ``see(name, x)`` with the first argument of each module whenever it runs.

    :param modules: name to module
    :param see: receives the name and ``x [..., n]``; must not change it
    """

    def hook(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        return lambda _, args: see(name, args[0])

    handles = [module.register_forward_pre_hook(hook(name)) for name, module in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def run_until_seen(
    modules: Mapping[str, nn.Module],
    see: Callable[[str, torch.Tensor], None],
    run: Callable[[], Any],
) -> None:
    """
    Run something until each of some modules has been called once, and no further.

    :param modules: name to module
    :param see: receives the name and first argument of each, as in :func:`watch_inputs`
    :param run: calls all of them
    """
    waiting = set(modules)

    def see_and_stop(name: str, x: torch.Tensor) -> None:
        see(name, x)
        waiting.discard(name)
        if not waiting:
            raise _StopError

    with watch_inputs(modules, see_and_stop), suppress(_StopError):
        run()


def arguments_of(
    module: nn.Module, run: Callable[[], Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """
    Run a model until it calls ``module`` and return that call's arguments.

    :param module: a part of the model
    :param run: starts the forward pass; it is cut short
    :raises CalibrationError: if the pass ends without calling the module
    """
    seen: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen.append((args, kwargs))
        raise _StopError

    handle = module.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        run()
    except _StopError:
        return seen[0]
    finally:
        handle.remove()
    raise CalibrationError(f'{type(module).__name__} was not reached by the forward pass')
