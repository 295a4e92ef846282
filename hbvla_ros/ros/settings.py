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
What an operator may choose, as frozen dataclasses that cannot hold nonsense.

The metadata of each field carries its ``description`` and its ``range`` or ``choices``; the ROS
parameters, the parameter files and the tables of the documentation all follow from it. Facts of a
checkpoint lie in its manifest and facts of a robot in its file, not here. A tuple of texts travels
as a string array in which empty texts count as absent: ROS can't tell the type of an empty array.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, MISSING
from typing import Any, get_type_hints

from hbvla_ros.core.errors import ConfigError
from hbvla_ros.policy.pacing import ASYNCHRONOUS, PACINGS


@dataclass(frozen=True)
class Setting:
    """One field of a dataclass of settings."""

    name: str
    kind: Any  # bool, int, float, str or tuple[str, ...]
    default: Any
    description: str
    limits: tuple[float, float] | None
    choices: tuple[str, ...] | None
    read_only: bool
    dynamic: bool

    @property
    def is_list(self) -> bool:
        """Tell whether the value is a tuple of texts."""
        return self.kind not in (bool, int, float, str)

    def to_ros(self, value: Any) -> Any:
        """Turn a value into what a parameter holds."""
        return (list(value) or ['']) if self.is_list else value

    def from_ros(self, value: Any) -> Any:
        """Turn what a parameter holds into a value."""
        return tuple(text for text in value if text) if self.is_list else value

    def problem(self, value: Any) -> str | None:
        """Say what is wrong with a value, naming the parameter; None if nothing is."""
        if self.choices and value not in self.choices:
            return f'parameter {self.name} must be one of {", ".join(self.choices)}; got {value!r}'
        if self.limits and not self.limits[0] <= value <= self.limits[1]:
            low, high = self.limits
            return f'parameter {self.name} must be in {low} .. {high}; got {value}'
        return None


def settings_of(cls: type[Any]) -> Iterator[Setting]:
    """
    List the settings of a dataclass.

    :param cls: all its fields have defaults and are bool, int, float, str or a tuple of texts
    """
    kinds = get_type_hints(cls)
    for entry in fields(cls):
        metadata: Mapping[str, Any] = entry.metadata
        yield Setting(
            name=entry.name,
            kind=kinds[entry.name],
            default='' if entry.default is MISSING else entry.default,
            description=metadata.get('description', ''),
            limits=metadata.get('range'),
            choices=metadata.get('choices'),
            read_only=metadata.get('read_only', False),
            dynamic=metadata.get('dynamic', False),
        )


def check(settings: Any) -> None:
    """
    Refuse values outside the range or the choices of their field.

    :param settings: an instance of a dataclass of settings
    :raises ConfigError: naming the parameter, what is allowed and what came
    """
    for setting in settings_of(type(settings)):
        problem = setting.problem(getattr(settings, setting.name))
        if problem:
            raise ConfigError(problem)


def _setting(
    default: Any,
    description: str,
    *,
    limits: tuple[float, float] | None = None,
    choices: tuple[str, ...] | None = None,
    read_only: bool = False,
    dynamic: bool = False,
) -> Any:
    metadata = {
        'description': description,
        'range': limits,
        'choices': choices,
        'read_only': read_only,
        'dynamic': dynamic,
    }
    return field(default=default, metadata=metadata)


def _report_period() -> Any:
    # Reports begin before configure reads the other parameters.
    return _setting(
        1.0,
        'time between two reports on ~/status and /diagnostics',
        limits=(0.01, 60.0),
        read_only=True,
    )


_ROBOT = 'robot file: a name under config/robots, or the path of a YAML file'


@dataclass(frozen=True, kw_only=True)
class PolicyParameters:
    """The parameters of the policy node."""

    model_path: str = _setting('', 'folder of the packed artifact')
    robot: str = _setting('mobile_aloha', _ROBOT)
    backend: str = _setting(
        'packed',
        'packed kernels, or dense weights restored from the packed ones',
        choices=('packed', 'dequant'),
    )
    device: str = _setting('cpu', 'torch device that runs the policy')
    dtype: str = _setting(
        'auto', 'precision of the activations', choices=('auto', 'float32', 'bfloat16')
    )
    activations: str = _setting(
        'exact',
        'exact, or int8 in the layers whose error with it was measured and is at most 1 %',
        choices=('exact', 'int8'),
    )
    image_transport: str = _setting(
        'raw',
        'Image, or CompressedImage on the topic with /compressed appended',
        choices=('raw', 'compressed'),
    )
    image_reliability: str = _setting(
        'auto',
        'QoS of the cameras; auto is reliable where every publisher offers it at activation',
        choices=('auto', 'best_effort', 'reliable'),
    )
    use_cv_bridge: str = _setting(
        'auto',
        'convert encodings that the built-in decoder lacks with cv_bridge',
        choices=('auto', 'never'),
    )
    default_instruction: str = _setting('', 'the task until a message names another')
    execute_steps: int = _setting(
        0, 'rows followed before the next prediction is due; 0 is half a chunk', limits=(0, 1000)
    )
    inference_rate_hz: float = _setting(
        0.0, 'predict at this rate instead; 0 goes by execute_steps', limits=(0.0, 1000.0)
    )
    max_image_age_s: float = _setting(
        0.2, 'an older image stops predictions', limits=(0.001, 60.0)
    )
    max_state_age_s: float = _setting(
        0.1, 'an older joint state stops predictions', limits=(0.001, 60.0)
    )
    max_sync_skew_s: float = _setting(
        0.05, 'largest time between the images of one observation', limits=(0.001, 60.0)
    )
    pacing: str = _setting(
        ASYNCHRONOUS,
        'predict while the robot moves, or only when the executor asks because nothing is left',
        choices=PACINGS,
    )
    timeline: str = _setting(
        'header',
        'stamps of observations: message headers, or the time of arrival',
        choices=('header', 'receive'),
    )
    publish_seen: bool = _setting(
        default=False,
        description='publish ~/seen: what the policy saw, the instruction, the state of the '
        'executor',
    )
    scrub_mib_per_s: float = _setting(
        20.0,
        'weights verified in the background while active; a policy that changed in memory '
        'deactivates; 0 verifies nothing',
        limits=(0.0, 10000.0),
    )
    warmup_runs: int = _setting(
        1, 'predictions from black images before activation ends', limits=(0, 100)
    )
    num_threads: int = _setting(
        0, 'CPU threads of the policy; 0 leaves the default of torch', limits=(0, 1024)
    )
    on_instruction: str = _setting(
        'auto',
        'weights that only a new instruction needs (FiLM); auto releases them where less than '
        '4 GiB are free',
        choices=('auto', 'keep', 'release'),
    )
    diagnostics_period_s: float = _report_period()

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class ExecutorParameters:
    """The parameters of the action executor node."""

    robot: str = _setting('mobile_aloha', _ROBOT)
    command_adapter: str = _setting(
        'joint_trajectory',
        'message type of the commands, for outputs of the robot file that name none',
        choices=(
            *('joint_trajectory', 'float64_multiarray', 'joint_state', 'twist_stamped'),
            *('joint_jog', 'pose_stamped', 'float64', 'interbotix_group', 'interbotix_single'),
            *('gripper_action', 'parallel_gripper_action'),
        ),
    )
    preview_points: int = _setting(
        0,
        'points after the first in a joint_trajectory: what follows if nothing new arrives; a '
        'controller goes on for so long when this node dies',
        limits=(0, 100),
    )
    control_rate_hz: float = _setting(
        50.0,
        'rate of the commands; not the spacing of the rows, which the chunk brings',
        limits=(1.0, 1000.0),
    )
    max_chunk_age_s: float = _setting(
        2.0,
        'a chunk whose observation is older is not followed; below the length of a chunk '
        '(chunk_size x period_s) its last rows are cut off',
        limits=(0.01, 60.0),
    )
    max_state_age_s: float = _setting(
        0.5, 'the robot holds when its joint state is older than this', limits=(0.01, 60.0)
    )
    chunk_mode: str = _setting(
        'latency_aligned',
        'how one chunk follows another: the newest at the row of the time since its observation, '
        'execute_steps rows of each from its first, the weighted mean of all, or a cross-fade '
        'into the newest',
        choices=('open_loop', 'latency_aligned', 'temporal_ensemble', 'overlap_blend'),
    )
    execute_steps: int = _setting(
        0, 'rows followed of each chunk in open_loop; 0 is all of them', limits=(0, 1000)
    )
    ensemble_coeff: float = _setting(
        0.01,
        'weight exp(-coeff x i) of chunk i in temporal_ensemble, oldest first',
        limits=(0.0, 10.0),
    )
    blend_s: float = _setting(0.3, 'length of the cross-fade of overlap_blend', limits=(0.0, 10.0))
    interpolation: str = _setting(
        'linear',
        'positions between two rows where commands come faster than rows',
        choices=('linear', 'none'),
    )
    row_clock: str = _setting(
        'motion',
        'what counts as time since an observation: that in which the robot moved, or all',
        choices=('motion', 'age'),
    )
    on_stale: str = _setting(
        'hold',
        'when chunks or states end: repeat the last command once, or brake to it within the '
        'acceleration limits',
        choices=('hold', 'decelerate'),
    )
    heartbeat_timeout_s: float = _setting(
        0.3,
        'the robot holds when the heartbeats of the policy stay away for longer; the policy '
        'offers 0.3 s',
        limits=(0.3, 60.0),
    )
    enable_on_start: bool = _setting(
        default=False,
        description='allow motion at activation; otherwise the service ~/enable does',
    )
    dry_run: bool = _setting(
        default=False,
        description='compute and report, but publish no command; may begin at any time, and end '
        'while motion is disabled',
        dynamic=True,
    )
    diagnostics_period_s: float = _report_period()

    def __post_init__(self) -> None:
        check(self)
