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
The first pass of a job: how strongly each token of each block moves the action.

Either without labels, or with the recorded actions where every sample has them.
"""

from collections.abc import Iterator, Sequence

from hbvla_ros.calib.probe import demonstration_importance, jacobian_importance
from hbvla_ros.core.errors import CalibrationError
from hbvla_ros.models.base import Block
from hbvla_ros.quantize.state import BlockJob
import numpy as np
from numpy.typing import NDArray
import torch


def probe_importance(
    job: BlockJob,
    plan: Sequence[Block],
    draws: int,
    seed: int,
    demonstrated: Sequence[torch.Tensor] | None = None,
) -> Iterator[int]:
    """
    Measure token importance on the full-precision model, sample by sample.

    :param job: ``actions`` and ``importance`` are filled in on the way
    :param plan: blocks whose outputs are watched
    :param draws: random projections per sample
    :param seed: of the projections
    :param demonstrated: normalised recorded actions per sample, used instead of projections
    :return: after each sample, how many are done
    """
    job.model.requires_grad_(requires_grad=False)
    generator = torch.Generator().manual_seed(seed)
    modules = {block.name: job.model.get_submodule(block.name) for block in plan}
    job.importance = {name: [] for name in modules}
    for number, inputs in enumerate(job.inputs):

        def predict(inputs: object = inputs) -> torch.Tensor:
            actions: torch.Tensor = job.model(inputs)
            return actions

        if demonstrated is None:
            scores, actions = jacobian_importance(predict, modules, draws, generator)
        else:
            scores, actions = demonstration_importance(predict, modules, demonstrated[number])
        job.actions.append(actions)
        for name, score in scores.items():
            job.importance[name].append(score)
        yield number + 1


def demonstrations(
    actions: Sequence[NDArray[np.float32] | None], job: BlockJob
) -> list[torch.Tensor]:
    """
    Return recorded actions as the policy would give them, normalised.

    :param actions: ``[chunk_size, action_dim]`` per sample, physical units
    :param job: its model knows the scaling
    :raises CalibrationError: if a sample has none
    """
    scaling = job.model.facts.scaling('action')
    found = [scaling.normalize(one) for one in actions if one is not None]
    if len(found) < len(actions):
        raise CalibrationError(
            'probe demo_l1 needs recorded actions; synthetic scenes and rosbag2 recordings hold '
            'none: bring ALOHA HDF5, npz or LeRobot episodes, or use probe jacobian'
        )
    return [torch.from_numpy(np.asarray(one, dtype=np.float32)) for one in found]
