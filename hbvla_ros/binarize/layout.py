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
Where each input column of a family goes: permutation, padding, transform, second plane.

The order is ``[non-salient | padding | salient | padding]``; both parts are padded with zero
columns to multiples of 128 before the transform. In *virtual* columns, those that a kernel
multiplies, the salient part stands twice: once per plane.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from hbvla_ros.binarize.transforms import BLOCK, inverse_transform, transform
from hbvla_ros.core.errors import ConfigError
import torch

GROUP = 128


def padded(count: int) -> int:
    """Return ``count`` rounded up to whole groups of 128 columns."""
    return -(-count // GROUP) * GROUP


@dataclass(frozen=True, eq=False)
class ColumnLayout:
    """
    The column side of a quantized family of linears.

    ``permutation`` is ``int64 [in_features]``: non-salient columns first, then the
    ``num_salient`` salient ones; None means the identity. The salient part is transformed apart.
    """

    in_features: int
    num_salient: int = 0
    transform: str = 'none'
    salient_transform: str = 'none'
    permutation: torch.Tensor | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.num_salient <= self.in_features:
            raise ConfigError(
                f'num_salient must be in 0..{self.in_features}, got {self.num_salient}'
            )

    @property
    def plain_width(self) -> int:
        """Return the padded number of non-salient columns."""
        return padded(self.in_features - self.num_salient)

    @property
    def salient_width(self) -> int:
        """Return the padded number of salient columns (one copy)."""
        return padded(self.num_salient)

    @property
    def width(self) -> int:
        """Return the padded number of columns, each counted once."""
        return self.plain_width + self.salient_width

    @property
    def virtual_width(self) -> int:
        """Return the number of columns that are stored, the salient ones counted twice."""
        return self.plain_width + 2 * self.salient_width

    @property
    def segments(self) -> int:
        """Return the number of row scales per row."""
        return len(self.segment_widths)

    @property
    def segment_widths(self) -> tuple[int, ...]:
        """Return the virtual widths of the parts that have a row scale of their own."""
        widths = (self.plain_width, 2 * self.salient_width)
        return tuple(width for width in widths if width)

    def gather(self, x: torch.Tensor) -> torch.Tensor:
        """
        Permute and pad the last axis, without the transform.

        :param x: ``[..., in_features]``
        :return: ``[..., width]``
        """
        if self.permutation is not None:
            x = x[..., self.permutation]
        plain = self.in_features - self.num_salient
        parts = [x[..., :plain], x.new_zeros(*x.shape[:-1], self.plain_width - plain)]
        if self.num_salient:
            missing = self.salient_width - self.num_salient
            parts += [x[..., plain:], x.new_zeros(*x.shape[:-1], missing)]
        return torch.cat(parts, dim=-1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Map activations (or rows of weights) to the coordinates that are quantized.

        :param x: ``[..., in_features]``
        :return: ``[..., width]``; dot products are kept
        """
        return self.turn(self.gather(x))

    def inverse(self, rows: torch.Tensor) -> torch.Tensor:
        """
        Map rows of quantized weights back to the columns of the checkpoint.

        :param rows: ``[..., width]``
        :return: ``[..., in_features]``; what fell on padding is dropped, activations are 0 there
        """
        plain, salient = self.split(rows)
        parts = [
            inverse_transform(plain, self.transform),
            inverse_transform(salient, self.salient_transform),
        ]
        counts = [self.in_features - self.num_salient, self.num_salient]
        columns = torch.cat([p.narrow(-1, 0, n) for p, n in zip(parts, counts, strict=True)], -1)
        if self.permutation is None:
            return columns
        result = torch.empty_like(columns)
        result[..., self.permutation] = columns
        return result

    def sources(self) -> torch.Tensor:
        """Return the input column of each place, ``int64 [width]``; -1 for padding."""
        device = None if self.permutation is None else self.permutation.device
        numbers = torch.arange(1, self.in_features + 1, device=device)
        return self.gather(numbers) - 1

    def transform_blocks(self) -> Iterator[tuple[slice, Callable[[torch.Tensor], torch.Tensor]]]:
        """Yield the column blocks that the transform mixes, with the transform of each."""
        ends = (0, self.plain_width, self.width)
        names = (self.transform, self.salient_transform)
        for start, stop, name in zip(ends[:-1], ends[1:], names, strict=True):
            for at in range(start, stop, BLOCK):
                yield slice(at, min(at + BLOCK, stop)), partial(transform, name=name)

    def to_virtual(self, x: torch.Tensor) -> torch.Tensor:
        """Repeat the salient part: ``[..., width]`` to ``[..., virtual_width]``."""
        return torch.cat([x, self.split(x)[1]], dim=-1) if self.num_salient else x

    def split(self, x: torch.Tensor) -> Sequence[torch.Tensor]:
        """Cut ``[..., width]`` into the non-salient and the salient part."""
        return torch.tensor_split(x, [self.plain_width], dim=-1)

    def turn(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the transforms to gathered columns: ``[..., width]`` to the same shape."""
        plain, salient = self.split(x)
        return torch.cat(
            [transform(plain, self.transform), transform(salient, self.salient_transform)], dim=-1
        )
