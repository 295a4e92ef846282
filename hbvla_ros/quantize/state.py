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
The state of a quantization job: what is asked, what is measured, what is done.

It is filled in on the way: the probe adds actions and importance, each block its layers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
import time
from typing import Any

from hbvla_ros.binarize.method import Method, QuantizedWeight
from hbvla_ros.core.errors import ConfigError
from hbvla_ros.models.base import Block, COMPONENTS, VlaModel
from hbvla_ros.models.surgery import find_linear
from hbvla_ros.quantize.activations import Activations
from hbvla_ros.quantize.job import AUTO, CORRECTED, NONE, PLAIN, QuantizeJob
from hbvla_ros.quantize.tuning import TuneSettings
import numpy as np
from numpy.typing import NDArray
import torch


@dataclass(frozen=True, eq=False)
class QuantizedLayer:
    """
    A quantized linear with what was measured on it.

    Errors are those of the code against the weight that it codes, before any tuning.
    """

    weight: QuantizedWeight
    component: str
    family: str
    output_error: float
    policy_error: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class BlockOptions:
    """
    How the blocks of a job are quantized, beside the method.

    ``target`` is ``plain`` or ``corrected`` (``binarize/target.py``, two streams) and
    ``target_factor`` the share of the correction that is applied. ``tune`` is ``none``, ``block``
    or ``distill``. ``overrides`` replaces the method's configuration for families, by the name of
    their first linear. ``dtype`` is that of the Hessians.
    """

    target: str = PLAIN
    target_factor: float = 1.0
    tune: str = NONE
    tuning: TuneSettings = field(default_factory=TuneSettings)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    dtype: torch.dtype = torch.float32
    seed: int = 0

    @classmethod
    def of_job(cls, job: QuantizeJob, method: Method) -> 'BlockOptions':
        """Return what a job asks for; ``target: auto`` leaves the target to the method."""
        return cls(
            target=method.target if job.target == AUTO else job.target,
            target_factor=float(job.target_factor),
            tune=job.tune,
            tuning=TuneSettings(steps=job.tune_steps),
            dtype=getattr(torch, job.hessian_dtype),
            seed=job.seed,
        )

    @property
    def two_streams(self) -> bool:
        """Return True if a full-precision stream must run beside the quantized one."""
        return self.target == CORRECTED or self.tune != NONE


@dataclass(eq=False)
class BlockJob:
    """
    The state of a running job; ``layers`` and ``skipped`` are complete when it ends.

    ``inputs`` are prepared model inputs, one per sample; ``actions`` the full-precision answers;
    ``importance`` maps a block's name to one S_t per sample; ``tuned`` the relative error of each
    tuned block before and after; ``sensitivity`` has the measured rows if planes were allocated
    by them. ``pictures`` are those of the first sample by camera, ``uint8 [H, W, 3]``, for the
    report.
    """

    model: VlaModel
    inputs: Sequence[Any]
    method: Method
    config: Any
    components: Sequence[str] = COMPONENTS
    protect: Sequence[str] = ()
    options: BlockOptions = field(default_factory=BlockOptions)
    activations: Activations = field(default_factory=lambda: Activations(0))
    clock: Callable[[], float] = time.perf_counter  # only for the seconds of the report
    layers: dict[str, QuantizedLayer] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    actions: list[torch.Tensor] = field(default_factory=list)
    importance: dict[str, list[torch.Tensor]] = field(default_factory=dict)
    tuned: dict[str, tuple[float, float]] = field(default_factory=dict)
    distilled: tuple[float, float] | None = None
    sensitivity: Sequence[Any] = ()
    pictures: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.components) - set(COMPONENTS))
        if unknown or not self.components:
            raise ConfigError(f'unknown components {unknown}; choose from {list(COMPONENTS)}')
        if self.options.tune != NONE and not self.method.on_grid:
            raise ConfigError('tuning needs a method whose result is on the level grid')
        self.skipped |= self.model.kept()

    def plan(self) -> list[Block]:
        """
        Drop what is not to be quantized; every linear left out is noted with the reason.

        :raises ConfigError: if nothing is left
        """
        plan = []
        for block in self.model.blocks():
            families = tuple(
                family
                for family in (self._open(block, names) for names in block.families)
                if family
            )
            if families:
                plan.append(Block(block.name, block.chain, block.component, families))
        if not plan:
            raise ConfigError('nothing is left to quantize: check components and protect')
        return plan

    def sizes(self, plan: Sequence[Block]) -> list[int]:
        """Return the number of weights of each planned block."""
        names = [[name for family in block.families for name in family] for block in plan]
        return [sum(find_linear(self.model, n).weight.numel() for n in group) for group in names]

    def _open(self, block: Block, names: Sequence[str]) -> tuple[str, ...]:
        kept = []
        for name in names:
            pattern = next((p for p in self.protect if fnmatch(name, p)), None)
            if block.component not in self.components:
                self.skipped[name] = f'component {block.component} was not chosen'
            elif pattern is not None:
                self.skipped[name] = f'protected by pattern {pattern}'
            else:
                kept.append(name)
        return tuple(kept)
