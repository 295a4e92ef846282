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

"""Where the time of a forward pass goes: hooks that charge every module for its own share."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
import time
from typing import Any

from hbvla_ros.kernels.cpu import CpuKernel
from hbvla_ros.models.linear import BinaryLinear
from torch import nn

# Class of a module, in the language model or elsewhere, to what it is charged as.
_LANGUAGE = {
    'LlamaRMSNorm': 'RMSNorm',
    'LlamaAttention': 'rotation and attention',
    'LlamaMLP': 'SiLU times up',
    'LlamaDecoderLayer': 'residual sums',
    'FusedNorm': 'RMSNorm',
    'FusedAttention': 'rotation and attention',
    'FusedMlp': 'SiLU times up',
    'FusedLayer': 'SiLU times up',  # its sums are made by the prologue and by the product
}
_VISION = {'LayerNorm': 'LayerNorm', 'Attention': 'attention', 'Mlp': 'GELU', 'VitBlock': 'sums'}


@contextmanager
def charged(model: nn.Module) -> Iterator[dict[str, float]]:
    """
    Charge the modules of a model while the block runs.

    :return: seconds by what was done; a module pays for its own work only, not for that of the
        modules it calls; what brings activations into the layout of a kernel, their norm
        included, is charged apart, as ``prologue``
    """
    seconds: dict[str, float] = defaultdict(float)
    open_: list[list[Any]] = []  # label, start, seconds of those it called

    def enter(label: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            open_.append([label, time.perf_counter(), 0.0])

        return hook

    def leave(*_: Any) -> None:
        label, start, inner = open_.pop()
        whole = time.perf_counter() - start
        seconds[label] += whole - inner
        if open_:
            open_[-1][2] += whole

    prepare = CpuKernel.prepare

    def charged_prepare(*arguments: Any) -> Any:
        enter(f'{open_[-1][0].partition(":")[0]}: prologue')()
        prepared = prepare(*arguments)
        leave()
        return prepared

    handles = []
    for name, module in model.named_modules():
        label = _label(name, module)
        if label:
            handles.append(module.register_forward_pre_hook(enter(label)))
            handles.append(module.register_forward_hook(leave))
    CpuKernel.prepare = charged_prepare  # type: ignore[method-assign]
    try:
        yield seconds
    finally:
        CpuKernel.prepare = prepare  # type: ignore[method-assign]
        for handle in handles:
            handle.remove()


def _label(name: str, module: nn.Module) -> str:
    if not name:
        return 'rest'
    part = name.partition('.')[0].partition('_')[0]
    kind = type(module).__name__
    if isinstance(module, BinaryLinear | nn.Linear):
        return f'{part}: linears'
    table = {'language': _LANGUAGE, 'vision': _VISION}.get(part, {})
    return f'{part}: {table[kind]}' if kind in table else ''
