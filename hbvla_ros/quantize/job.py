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

"""One quantization job as plain values: the same for YAML, command line and ROS parameters."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from hbvla_ros.core.errors import ConfigError
import yaml

DEFAULT_COMPONENTS = ('vision', 'projector', 'language')
AUTO, PLAIN, CORRECTED = 'auto', 'plain', 'corrected'
NONE, BLOCK, DISTILL = 'none', 'block', 'distill'
METHOD = 'method'
JACOBIAN, DEMO_L1 = 'jacobian', 'demo_l1'
# Where things lie and how they are computed: the artifact is the same whatever they say.
PLACES = ('checkpoint', 'output', 'calibration', 'probe_cache', 'activation_budget_mib')


def _setting(default: Any, description: str, **extra: Any) -> Any:
    return field(default=default, metadata={'description': description, **extra})


@dataclass(frozen=True, kw_only=True)
class QuantizeJob:
    """
    What to quantize, how, and where to put it.

    :raises ConfigError: for a value out of range
    """

    checkpoint: str = _setting('', 'folder of the full-precision checkpoint (published layout)')
    output: str = _setting('', 'folder of the artifact to write; it must not exist')
    model: str = _setting('openvla_oft', 'kind of network: openvla_oft, openvla or cogact')
    preset: str = _setting(
        'aloha',
        'how it was trained: aloha, aloha_film, aloha_sim, libero or bridge; openvla and cogact '
        'also know fractal',
    )
    unnorm_key: str = _setting('', 'statistics to use; may stay empty if the file has one entry')
    method: str = _setting('hbvla', 'binarization method: rtn, hbvla, hbvla_plus or two_plane')
    settings: tuple[str, ...] = _setting((), 'settings of the method, each as name=value')
    target: str = _setting(
        AUTO,
        'weights to code: plain, corrected (undo errors of earlier layers), auto (by method)',
        choices=(AUTO, PLAIN, CORRECTED),
    )
    target_factor: float = _setting(
        1.0, 'share of the correction of a corrected target that is applied', range=(0.0, 1.0)
    )
    tune: str = _setting(
        NONE,
        'fit scales, means, norms and biases: block by block, or that and then to the actions',
        choices=(NONE, BLOCK, DISTILL),
    )
    tune_steps: int = _setting(150, 'gradient steps of tuning per block', range=(1, 100_000))
    distill_steps: int = _setting(
        300, 'gradient steps of tune: distill on the whole model', range=(1, 100_000)
    )
    distill_samples: int = _setting(
        0, 'observations that tune: distill imitates; 0 takes num_samples', range=(0, 1_000_000)
    )
    planes: str = _setting(
        METHOD,
        'planes per weight: as the method says, or auto: a second one where it helps most',
        choices=(METHOD, AUTO),
    )
    plane_budget: float = _setting(
        1.25, 'stored bits per weight that planes: auto may use', range=(1.0, 4.0)
    )
    robot: str = _setting('mobile_aloha', 'robot file (name or path) that the samples come from')
    calibration: str = _setting(
        'synthetic', 'recording to calibrate with: rosbag2, ALOHA HDF5, npz, LeRobot; or synthetic'
    )
    instruction: str = _setting('', 'replaces the recorded instruction unless empty')
    bgr: bool = _setting(
        default=False, description='the cameras of HDF5 recordings delivered bgr8'
    )
    num_samples: int = _setting(16, 'observations used for calibration', range=(1, 100_000))
    probe: str = _setting(
        JACOBIAN,
        'token importance from the Jacobian of the action (no labels) or from recorded actions',
        choices=(JACOBIAN, DEMO_L1),
    )
    probe_draws: int = _setting(4, 'random projections of the action probe', range=(1, 64))
    probe_cache: str = _setting(
        '', 'folder in which jobs on the same checkpoint and samples share the token importance'
    )
    seed: int = _setting(0, 'seed of samples and probe', range=(0, 2**31 - 1))
    components: tuple[str, ...] = _setting(
        DEFAULT_COMPONENTS, 'parts to quantize: vision, projector, language, action_head'
    )
    protect: tuple[str, ...] = _setting((), 'glob patterns of layers to leave in 16 bit')
    hessian_dtype: str = _setting(
        'float32', 'precision of the running Hessian sums', choices=('float32', 'float64')
    )
    activation_budget_mib: int = _setting(
        4096, 'memory for activations; what exceeds it goes to files', range=(0, 1 << 24)
    )
    weights_dtype: str = _setting(
        AUTO,
        'precision of the full-precision weights; auto is float32 up to 4 GiB of files',
        choices=(AUTO, 'float32', 'bfloat16'),
    )
    num_threads: int = _setting(0, 'threads of torch, 0 leaves its default', range=(0, 1024))

    def __post_init__(self) -> None:
        for name, entry in self.__dataclass_fields__.items():
            _check(name, getattr(self, name), entry.metadata, type(entry.default))
        for name in ('checkpoint', 'output'):
            if not getattr(self, name):
                raise ConfigError(f'{name} is needed: give the path of a folder')
        self.method_settings()

    def method_settings(self) -> dict[str, Any]:
        """
        Return ``settings`` as values (read as YAML: numbers, true, false, text).

        :raises ConfigError: for an entry without ``=``
        """
        wrong = [entry for entry in self.settings if '=' not in entry]
        if wrong:
            raise ConfigError(f'settings are written name=value, got {wrong}')
        pairs = (entry.split('=', 1) for entry in self.settings)
        return {name.strip(): yaml.safe_load(value) for name, value in pairs}

    def chosen(self, *, places: bool = True) -> dict[str, Any]:
        """Return the settings that are not at their defaults; places may be left out."""
        return {
            entry.name: getattr(self, entry.name)
            for entry in fields(self)
            if getattr(self, entry.name) != entry.default and (places or entry.name not in PLACES)
        }


def _check(name: str, value: Any, metadata: Mapping[str, Any], kind: type) -> None:
    choices = metadata.get('choices')
    if choices and value not in choices:
        raise ConfigError(f'{name} must be one of {", ".join(choices)}, got {value!r}')
    if 'range' not in metadata:
        return
    low, high = metadata['range']
    allowed = (int,) if kind is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, allowed):
        word = 'an integer' if kind is int else 'a number'
        raise ConfigError(f'{name} must be {word}, got {value!r}')
    if not low <= value <= high:
        raise ConfigError(f'{name} must be in {low}..{high}, got {value}')
