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
What must be true of a loaded policy before a robot follows it, each with the way to mend it.

The published figures are lost to silent mistakes: causal attention where it should be full,
statistics of another data set, pictures in another order. Every check looks at the network itself,
not at what a file says about it, and is cheap enough for start-up.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hbvla_ros.core.memory import available_bytes
from hbvla_ros.core.normalization import BOUNDS_Q99
from hbvla_ros.core.robot import RobotSpec
from hbvla_ros.models.base import VlaModel
from hbvla_ros.models.linear import BinaryLinear
from hbvla_ros.models.packed import kernels_of
import numpy as np
import torch

PASS, WARN, FAIL = 'pass', 'warn', 'fail'
# ImageNet's constants as the published OpenVLA files hold them, rounded to bfloat16, and plain.
_ROUNDED = (0.484375, 0.455078125, 0.40625, 0.228515625, 0.2236328125, 0.224609375)
_PLAIN = (0.485, 0.456, 0.406, 0.229, 0.224, 0.225)
_PIXELS = {'openvla_oft': _ROUNDED, 'openvla': _ROUNDED, 'cogact': _PLAIN}
_EPS = {'openvla_oft': 1e-6, 'openvla': 1e-6, 'cogact': 1e-5}
_PROBE_TOKENS = 8
_MOVED = 1e-4  # relative change of a hidden state that counts as one


@dataclass(frozen=True, slots=True)
class Check:
    """
    One finding.

    ``status`` is ``pass``, ``warn`` or ``fail``, ``found`` says what is there, ``fix`` what to do
    about it; empty if there is nothing to do.
    """

    name: str
    status: str
    found: str
    fix: str = ''

    def to_json(self) -> dict[str, str]:
        """Return plain values."""
        return asdict(self)


def judge(name: str, found: str, fix: str, *, good: bool, otherwise: str = FAIL) -> Check:
    """Return a finding; the fix is for one that is not good."""
    return Check(name, PASS, found) if good else Check(name, otherwise, found, fix)


def free_bytes(device: torch.device) -> int:
    """Return the memory that is free for another tensor, on a GPU or in this computer."""
    if device.type == 'cuda':
        return int(torch.cuda.mem_get_info(device)[0])
    return available_bytes()


def check_model(model: VlaModel, robot: RobotSpec | None = None) -> list[Check]:
    """
    Examine a network that is loaded.

    :param model: with weights, on its device
    :param robot: that it should move; None leaves out what concerns the robot
    """
    checks: list[Callable[[VlaModel], Iterator[Check]]] = [
        _attention,
        _tokenizer,
        _constants,
        _statistics,
        _types,
        _kernel,
        _memory,
    ]
    found = [finding for check in checks for finding in check(model)]
    return found + (list(_robot(model, robot)) if robot else [])


@torch.inference_mode()
def _attention(model: VlaModel) -> Iterator[Check]:
    """Change the last of a few tokens: the first hidden state must follow, or must not."""
    language: Any = model.get_submodule('language_model')
    like = next(p for p in language.parameters() if p.is_floating_point())
    width = language.model.config.hidden_size
    draw = torch.Generator().manual_seed(0)
    tokens = torch.randn(1, _PROBE_TOKENS, width, generator=draw).to(like)
    other = tokens.clone()
    other[:, -1] = -other[:, -1]
    first, second = (language(one)[0, 0].float() for one in (tokens, other))
    moved = float((first - second).norm() / first.norm().clamp_min(1e-12))
    sees = moved > _MOVED
    wanted = not language.causal
    kind = 'full' if sees else 'causal'
    yield judge(
        'attention',
        f'{kind}: changing the last token moves the first hidden state by {moved:.1e}',
        f'such policies were trained with {"full" if wanted else "causal"} attention; install '
        'transformers 5.5 or later, below 6 (./scripts/setup.bash)',
        good=sees == wanted,
    )


def _tokenizer(model: VlaModel) -> Iterator[Check]:
    from hbvla_ros.models.prismatic.prompt import Prompt, TOKENIZER

    language: Any = model.get_submodule('language_model')
    # Its constructor checks the begin token and the trailing space and raises otherwise.
    prompt = Prompt(model.assets()[TOKENIZER], language.model.config.vocab_size)
    ids = prompt.ids('lift the cup')
    yield Check('tokenizer', PASS, f'a question ends with the lone space, id {ids[-1]}')


def _constants(model: VlaModel) -> Iterator[Check]:
    described = model.architecture()
    kind = described['kind']
    if kind not in _PIXELS:
        return
    found = (*described['pixel_mean'][:3], *described['pixel_std'][:3])
    same = np.allclose(found, _PIXELS[kind], rtol=0, atol=1e-9)
    rounded = 'rounded to bfloat16' if _PIXELS[kind] is _ROUNDED else 'not rounded'
    yield judge(
        'picture constants',
        f'mean {found[:3]}, std {found[3:]}',
        f"published policies of this kind use ImageNet's constants {rounded}; copy "
        'preprocessor_config.json of the checkpoint again',
        good=bool(same),
        otherwise=WARN,
    )
    eps = described['language']['rms_norm_eps']
    yield judge(
        'norm epsilon',
        f'{eps:g}',
        f'policies of kind {kind} were trained with {_EPS[kind]:g}; remove rms_norm_eps from '
        'text_config unless yours was not',
        good=eps == _EPS[kind],
        otherwise=WARN,
    )


def _statistics(model: VlaModel) -> Iterator[Check]:
    facts = model.facts
    scaling = facts.scaling('action')
    where = f'{facts.unnorm_key}, {facts.normalization}'
    yield judge(
        'action statistics',
        f'{where}, {scaling.low.size} values',
        f'the policy predicts {facts.action_dim}; choose the unnorm_key of its data set',
        good=scaling.low.size == facts.action_dim,
    )
    if facts.proprio_dim:
        size = facts.scaling('proprio').low.size
        yield judge(
            'state statistics',
            f'{where}, {size} values',
            f'the policy reads {facts.proprio_dim}; choose the unnorm_key of its data set',
            good=size == facts.proprio_dim,
        )
    has_mask = 'mask' in facts.norm_stats['action']
    needs_mask = facts.normalization == BOUNDS_Q99
    yield judge(
        'action mask',
        f'scaled: {scaling.mask.astype(int).tolist()}' if has_mask else 'none: all are scaled',
        'the grippers of such data sets are not scaled; add "mask": [true, ..., false] to the '
        'action statistics, or the gripper command will be wrong',
        good=has_mask or not needs_mask,
        otherwise=WARN,
    )
    flat = [int(i) for i in np.flatnonzero(scaling.mask & (scaling.high <= scaling.low))]
    yield judge(
        'action ranges',
        f'no range at {flat}' if flat else 'every scaled action has a range',
        'an action that never moved in the data can not be commanded; check the data set',
        good=not flat,
        otherwise=WARN,
    )


def _types(model: VlaModel) -> Iterator[Check]:
    kinds = sorted({str(p.dtype).removeprefix('torch.') for p in model.parameters()})
    yield judge(
        'types',
        ', '.join(kinds),
        'load with dtype float32 or bfloat16',
        good=set(kinds) <= {'float32', 'bfloat16'},
    )


def _kernel(model: VlaModel) -> Iterator[Check]:
    packed = sum(isinstance(module, BinaryLinear) for module in model.modules())
    if packed:
        yield Check('kernel', PASS, f'{kernels_of(model)} for {packed} packed layers')


def _memory(model: VlaModel) -> Iterator[Check]:
    """Compare what one prediction needs on top of the weights with what is left."""
    described: Mapping[str, Any] = model.architecture()
    facts = model.facts
    side = described['image_size'] // described['patch_size']
    tokens = facts.num_images * side**2 + facts.chunk_size * facts.action_dim + 64
    width = described['language']['intermediate_size'] + 8 * described['language']['hidden_size']
    needs = 4 * tokens * width + (256 << 20)
    device = next(model.parameters()).device
    free = free_bytes(device)
    yield judge(
        'memory',
        f'a prediction needs about {needs >> 20} MiB, {free >> 20} MiB are free',
        'close other programs, use the packed backend, or on_instruction: release',
        good=needs < free,
    )


def _robot(model: VlaModel, robot: RobotSpec) -> Iterator[Check]:
    facts = model.facts
    for what, wanted, names in (
        ('images', facts.num_images, [camera.name for camera in robot.cameras]),
        ('state', facts.proprio_dim, list(robot.state_names)),
        ('actions', facts.action_dim, list(robot.action_names)),
    ):
        yield judge(
            what,
            f'the policy has {wanted}, robot {robot.name} {len(names)}: {", ".join(names)}',
            'choose the robot file of the checkpoint',
            good=wanted == len(names),
        )
    names = [camera.name for camera in robot.cameras]
    wrist = ['wrist' in name for name in names]
    yield judge(
        'order of images',
        ', '.join(names),
        'in training the scene camera comes first and the wrist cameras after it; put the cameras '
        'of the robot file into that order',
        good=wrist == sorted(wrist),
        otherwise=WARN,
    )
