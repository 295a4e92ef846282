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
HBVLA as we read the paper.

Corrected Hessian -> salient columns -> pairing permutation -> Haar -> one bit per weight in groups
of 128 with column feedback, two planes (residual) on the salient columns. The paper's appendix is
not public: ``doc/method.md`` lists every choice that is ours. Source: arXiv 2602.13710.
"""

from dataclasses import dataclass

from hbvla_ros.binarize.recipe import RecipeConfig, RecipeMethod


@dataclass(frozen=True, kw_only=True)
class HbvlaConfig(RecipeConfig):
    """The recipe's defaults are the paper's: Hc, pairing, one Haar level, no sweeps."""


HBVLA = RecipeMethod(HbvlaConfig, 'plain')
