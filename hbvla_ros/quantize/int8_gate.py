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
Measure what int8 activations would cost each quantized layer, on the calibration samples.

The result stands in the manifest; ``artifact.manifest.INT8_LIMIT`` decides which layers pass, and
only those are ever run with int8 activations without being forced.
"""

from collections.abc import Callable, Mapping
import math
from typing import Any

from hbvla_ros.kernels import int8_reference, reference
from hbvla_ros.kernels.packing import PackedWeight
from hbvla_ros.quantize.state import BlockJob
import torch
from torch import nn

_SAMPLES = 2
_ROWS = 64  # of a layer's input, evenly spread over the tokens


@torch.no_grad()
def int8_errors(work: BlockJob, layers: Mapping[str, PackedWeight]) -> dict[str, float]:
    """
    Run the quantized model on samples and compare each layer with and without int8 activations.

    :param work: a finished job; its model computes with the quantized weights
    :param layers: the packed layers by name
    :return: the relative output error of each layer, the largest of the samples; a layer that the
        model did not run is absent
    """
    errors: dict[str, float] = {}

    def compare(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            del module
            errors[name] = max(errors.get(name, 0.0), relative_error(inputs[0], layers[name]))

        return hook

    handles = [
        work.model.get_submodule(name).register_forward_pre_hook(compare(name)) for name in layers
    ]
    try:
        for inputs in work.inputs[:_SAMPLES]:
            work.model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return errors


def relative_error(x: torch.Tensor, packed: PackedWeight) -> float:
    """
    Return ``|int8 - exact| / |exact|`` of one layer's output.

    :param x: ``[..., in_features]``; at most 64 rows are used
    :param packed: the weights
    :return: 0 where both are zero; infinite where only the exact output is, or where one of them
        is not finite: what can't be judged does not pass
    """
    rows = x.detach().float().cpu().flatten(0, -2)
    rows = rows[:: max(1, -(-rows.shape[0] // _ROWS))]
    exact = reference.linear(rows, packed)
    difference = (int8_reference.linear(rows, packed) - exact).norm()
    if float(difference) == 0:
        return 0.0
    error = float(difference / exact.norm())
    return error if math.isfinite(error) else math.inf
