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
Run a packed policy: observation in, chunk of actions out.

The same object serves the live node, the replay of a bag and the tests. It holds the network and
the statistics, and knows neither topics nor clocks.
"""

from functools import partial
from pathlib import Path
from typing import Any

from hbvla_ros.artifact.manifest import Manifest
from hbvla_ros.artifact.store import MANIFEST, read_tensor, WEIGHTS
from hbvla_ros.core.action import ActionChunk
from hbvla_ros.core.errors import ConfigError
from hbvla_ros.core.observation import Observation
from hbvla_ros.core.robot import RobotSpec
from hbvla_ros.kernels.memory import keep_freed_memory
from hbvla_ros.models.base import PolicyFacts, VlaModel
from hbvla_ros.models.packed import EXACT, kernels_of, load_packed, PACKED, weights_of
from hbvla_ros.policy.checks import Check, check_model, free_bytes
import torch

DTYPES = {'float32': torch.float32, 'bfloat16': torch.bfloat16}
AUTO, KEEP, RELEASE = 'auto', 'keep', 'release'
ON_INSTRUCTION = (AUTO, KEEP, RELEASE)
_SHORT_BYTES = 4 << 30  # memory is short below this


class Policy:
    """A loaded policy."""

    def __init__(self, model: VlaModel, summary: dict[str, Any] | None = None) -> None:
        """
        Wrap a model that is on its device and in its dtype.

        :param model: with weights
        :param summary: plain facts for status reports
        """
        self._model = model
        self.summary: dict[str, Any] = dict(summary or {})

    @property
    def facts(self) -> PolicyFacts:
        """Return the facts of the checkpoint: chunk size, dimensions, period."""
        return self._model.facts

    def examine(self, robot: RobotSpec) -> list[Check]:
        """
        Look for the mistakes that a policy does not complain about.

        :param robot: that it should move
        """
        return check_model(self._model, robot)

    def tensors(self) -> dict[str, torch.Tensor]:
        """
        Return the weights that compute, by name; none of them changes while the policy runs.

        Packed weights come first. The modulation of FiLM is left out: its weights may leave
        memory.
        """
        return weights_of(self._model)

    @torch.inference_mode()
    def infer(self, observation: Observation) -> ActionChunk:
        """
        Predict the next chunk.

        :param observation: images, state and instruction
        :return: actions in the units of the robot file, stamped with the observation's time
        :raises ObservationError: if the observation does not fit the model
        :raises ActionError: if the network's output is not finite
        """
        normalized = self._model(self._model.prepare(observation))[0]
        return ActionChunk(
            actions=self._model.physical(normalized.double().cpu().numpy()),
            stamp_ns=observation.stamp_ns,
            period_s=self.facts.period_s,
        )


def load_policy(  # noqa: PLR0913 - the choices of an operator, by name
    path: Path,
    *,
    backend: str = PACKED,
    device: str = 'cpu',
    dtype: str = 'auto',
    activations: str = EXACT,
    num_threads: int = 0,
    on_instruction: str = AUTO,
) -> Policy:
    """
    Load an artifact for inference; on a CPU the process keeps freed memory from then on.

    :param path: the artifact folder
    :param backend: ``packed`` or ``dequant``
    :param device: a torch device name
    :param dtype: ``float32``, ``bfloat16`` or ``auto`` (bfloat16 on a GPU, float32 on a CPU)
    :param activations: ``exact``, or ``int8`` in the layers that passed when they were quantized
    :param num_threads: threads of torch, 0 leaves its default
    :param on_instruction: ``keep`` weights that only a new instruction needs (FiLM), ``release``
        them and read them from the artifact when one comes, or ``auto``: release where less than
        4 GiB are free
    :raises ArtifactError: if the artifact is damaged
    :raises ConfigError: for an unknown backend, device, dtype or choice
    """
    if on_instruction not in ON_INSTRUCTION:
        raise ConfigError(
            f'on_instruction is one of {", ".join(ON_INSTRUCTION)}, got {on_instruction!r}'
        )
    if num_threads:
        torch.set_num_threads(num_threads)
    where = _device(device)
    if dtype == 'auto':
        dtype = 'float32' if where.type == 'cpu' else 'bfloat16'
    if where.type == 'cpu':
        keep_freed_memory()
    if dtype not in DTYPES:
        raise ConfigError(f'unknown dtype {dtype!r}; known: auto, {", ".join(DTYPES)}')
    loaded = load_packed(path, backend=backend, activations=activations)
    model = loaded.model.to(device=where, dtype=DTYPES[dtype])
    short = free_bytes(where) < _SHORT_BYTES
    released = 0
    if on_instruction == RELEASE or (on_instruction == AUTO and short):
        released = model.release(partial(read_tensor, path))
    summary = _summary(path, loaded.manifest) | {'backend': backend, 'dtype': dtype}
    summary['activations'] = activations
    summary['released_bytes'] = released
    if backend == PACKED:
        summary['kernel'] = kernels_of(model)
    return Policy(model, summary)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f'unknown device {name!r}: {error}') from error
    if device.type == 'cuda' and not torch.cuda.is_available():
        raise ConfigError(f'device {name} was asked for, but torch sees no GPU; use device: cpu')
    return device


def _summary(path: Path, manifest: Manifest) -> dict[str, Any]:
    names = (MANIFEST, WEIGHTS, *manifest.files)
    return {
        'method': manifest.job['method'],
        'bits_sign': manifest.totals['bits_sign'],
        'bits_stored': manifest.totals['bits_stored'],
        'artifact_bytes': sum((path / name).stat().st_size for name in names),
    }
