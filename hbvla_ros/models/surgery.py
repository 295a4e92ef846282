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

"""Replace dense linears by packed ones, and look linears up by name."""

from collections.abc import Mapping

from hbvla_ros.core.errors import ArtifactError
from hbvla_ros.kernels.packing import PackedWeight
from hbvla_ros.models.linear import BinaryLinear
from torch import nn


def find_linear(model: nn.Module, name: str) -> nn.Linear:
    """
    Return the dense linear at a dotted name.

    :raises ArtifactError: if there is none
    """
    try:
        module = model.get_submodule(name)
    except AttributeError as error:
        raise ArtifactError(f'the model has no layer {name}: {error}') from error
    if not isinstance(module, nn.Linear):
        raise ArtifactError(f'{name} is a {type(module).__name__}, expected a dense linear')
    return module


def insert_packed(model: nn.Module, layers: Mapping[str, PackedWeight]) -> None:
    """
    Put packed weights in the place of dense linears; biases stay.

    :param model: changed in place
    :param layers: dotted name to packed weights
    :raises ArtifactError: if a name or a shape does not fit the model
    """
    for name, packed in layers.items():
        dense = find_linear(model, name)
        have = (packed.out_features, packed.layout.in_features)
        if have != (dense.out_features, dense.in_features):
            raise ArtifactError(
                f'{name}: packed weight is {have}, the model needs '
                f'{(dense.out_features, dense.in_features)}'
            )
        parent, _, leaf = name.rpartition('.')
        bias = None if dense.bias is None else dense.bias.detach()
        setattr(model.get_submodule(parent), leaf, BinaryLinear(packed, bias))
