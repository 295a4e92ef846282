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
Quality mode: two planes on every column, about 2.26 stored bits at OpenVLA-OFT's widths.

The honest rival of published "1.08 bit" codes, whose magnitude bitmap is a second bit too.
"""

from dataclasses import dataclass

from hbvla_ros.binarize.recipe import RecipeConfig, RecipeMethod


@dataclass(frozen=True, kw_only=True)
class TwoPlaneConfig(RecipeConfig):
    """The recipe with two planes everywhere; salient settings have no effect."""

    corrected: float = 0.5
    dampening: float = 0.03
    pairing: bool = False
    transform: str = 'hadamard'
    num_salient: int = 0
    planes: int = 2
    sweeps: int = 8


TWO_PLANE = RecipeMethod(TwoPlaneConfig, 'corrected')
