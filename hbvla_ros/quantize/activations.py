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
Activations of calibration samples on the CPU: in memory up to a budget, in files beyond it.

Every value comes back bit for bit, so a job gives the same bytes whatever the budget.
"""

from pathlib import Path

from hbvla_ros.core.errors import CalibrationError
import torch


class Activations:
    """Keeps tensors; the oldest stay in memory, those that exceed the budget go to files."""

    def __init__(self, budget_bytes: int, folder: Path | None = None) -> None:
        """
        Start empty.

        :param budget_bytes: how much may stay in memory
        :param folder: where the rest goes; None forbids files, and the budget is then no limit
        """
        self._free = budget_bytes
        self._folder = folder
        self._count = 0
        self.spilled_bytes = 0

    def keep(self, tensor: torch.Tensor) -> 'KeptTensor':
        """
        Take a tensor in.

        :param tensor: any shape, dtype and device
        :return: what gives it back
        :raises CalibrationError: if a file can't be written
        """
        tensor = tensor.detach().cpu().contiguous()
        size = tensor.numel() * tensor.element_size()
        if self._folder is None or size <= self._free:
            self._free -= size
            return KeptTensor(self, tensor, None)
        self._count += 1
        self.spilled_bytes += size
        file = self._folder / f'{self._count}.bin'
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            tensor.view(-1).view(torch.uint8).numpy().tofile(file)
        except OSError as error:
            raise CalibrationError(
                f'{file}: activations that exceed the budget could not be written: {error}; free '
                'some space or raise activation_budget_mib'
            ) from error
        return KeptTensor(self, torch.empty(0, dtype=tensor.dtype), file, tensor.shape)

    def release(self, size: int) -> None:
        """Give bytes back to the budget."""
        self._free += size


class KeptTensor:
    """One tensor that is kept."""

    def __init__(
        self,
        owner: Activations,
        tensor: torch.Tensor,
        file: Path | None,
        shape: torch.Size | None = None,
    ) -> None:
        """Belong to ``owner``; either the tensor itself or its file, dtype and shape."""
        self._owner, self._tensor, self._file, self._shape = owner, tensor, file, shape

    def get(self) -> torch.Tensor:
        """Return the tensor, on the CPU."""
        if self._file is None:
            return self._tensor
        assert self._shape is not None
        data = bytearray(self._file.read_bytes())
        return torch.frombuffer(data, dtype=self._tensor.dtype).view(self._shape)

    def drop(self) -> None:
        """Free its memory or remove its file; it must not be used any more."""
        if self._file is None:
            self._owner.release(self._tensor.numel() * self._tensor.element_size())
        else:
            self._file.unlink(missing_ok=True)
