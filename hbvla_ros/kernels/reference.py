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
The product with packed weights in plain torch: exact, on any device, the oracle of every test.

A panel of rows is unpacked to its integer levels, multiplied with float32 accumulation, and scaled
per row; never is a whole matrix expanded. Source: ``doc/artifact_format.md``.
"""

from hbvla_ros.binarize.layout import GROUP
from hbvla_ros.kernels.packing import PackedWeight, row_blocks, unpack_levels, unpack_signs
import torch

PANEL_BLOCKS = 64  # 1024 rows at a time: 4 MB of float32 per 1024 columns


def supports(packed: PackedWeight, x: torch.Tensor) -> bool:
    """Every shape and device."""
    del packed, x
    return True


def linear(x: torch.Tensor, packed: PackedWeight) -> torch.Tensor:
    """
    Compute ``x W^T``.

    :param x: float ``[..., in_features]``
    :param packed: the weights, on the device of ``x``
    :return: ``[..., out_features]`` in the dtype of ``x``; accumulated in float32
    """
    layout = packed.layout
    z = layout.to_virtual(layout.forward(x)).float().flatten(0, -2)
    parts = z.split(layout.segment_widths, dim=1)
    result = torch.empty(z.shape[0], packed.out_features, device=z.device)
    for first in range(0, row_blocks(packed.out_features), PANEL_BLOCKS):
        last = min(first + PANEL_BLOCKS, row_blocks(packed.out_features))
        panel = _integer_panel(packed, first, last)
        rows = slice(first * 16, min(last * 16, packed.out_features))
        panel = panel[: rows.stop - rows.start]
        pieces = panel.split(layout.segment_widths, dim=1)
        result[:, rows] = sum(
            (part @ piece.T) * packed.row_scale[segment, rows]
            for segment, (part, piece) in enumerate(zip(parts, pieces, strict=True))
        )
    shaped: torch.Tensor = result.to(x.dtype).unflatten(0, x.shape[:-1])
    return shaped


def _integer_panel(packed: PackedWeight, first: int, last: int) -> torch.Tensor:
    signs = unpack_signs(packed, first, last).unflatten(-1, (-1, GROUP))
    levels = unpack_levels(packed, first, last).float()
    panel: torch.Tensor = torch.where(signs, levels[..., 1:], levels[..., :1]).flatten(-2)
    return panel
