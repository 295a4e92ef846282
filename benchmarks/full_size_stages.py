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

"""Stages of ``full_size.py``, each run in a process of its own, so that its peak is its own."""

import argparse
from collections.abc import Callable
from pathlib import Path
import re
import statistics
import time
from typing import Any

from benchmarks.charged import charged
from benchmarks.full_size_files import full_config, skeleton, write_artifact
from benchmarks.record import REPOSITORY
from hbvla_ros.core.observation import Observation
from hbvla_ros.core.robot import find_robot
from hbvla_ros.core.scene import synthetic_observations
from hbvla_ros.kernels.memory import keep_freed_memory
from hbvla_ros.models.openvla_oft.model import OpenVlaOft
import torch

TOKENS = 605  # of the language model, LIBERO with two pictures
_ROBOTS = REPOSITORY / 'config' / 'robots'


def write(arguments: argparse.Namespace) -> dict[str, Any]:
    """Stream the artifact to disk."""
    began = time.perf_counter()
    manifest = write_artifact(arguments.keep, full_config(arguments.layers))
    size = sum(file.stat().st_size for file in arguments.keep.iterdir())
    return {
        'seconds': round(time.perf_counter() - began, 1),
        'artifact_mib': size >> 20,
        'bits_stored': round(manifest.totals['bits_stored'], 4),
        **peaks(),
    }


def packed(arguments: argparse.Namespace) -> dict[str, Any]:
    """Load the artifact and answer queries; the last one is charged to its parts."""
    from hbvla_ros.policy.runner import load_policy

    _threads(arguments)
    # Modules are imported once per process and are no part of loading.
    skeleton(full_config(1))
    began, used = time.perf_counter(), time.process_time()
    policy = load_policy(arguments.keep, dtype=arguments.dtype)
    loaded = {
        'load_seconds': round(time.perf_counter() - began, 2),
        'load_cpu_seconds': round(time.process_time() - used, 2),
        'load_rss_mib': peaks()['peak_rss_mib'],
    }
    model = policy._model  # noqa: SLF001
    seen = observation(model)
    policy.infer(seen)
    times = [_timed(lambda: policy.infer(seen)) for _ in range(arguments.queries)]
    seconds = [wall for wall, _ in times]
    top = peaks()
    with charged(model) as parts:
        policy.infer(seen)
    return {
        **loaded,
        'runs_on': policy.summary['kernel'],
        'threads': torch.get_num_threads(),
        'seconds_p50': round(statistics.median(seconds), 3),
        'seconds_p90': round(sorted(seconds)[-1 - len(seconds) // 10], 3),
        'seconds': [round(value, 3) for value in seconds],
        'cpu_seconds_p50': round(statistics.median(used for _, used in times), 3),
        **top,
        'profile': _rounded(parts),
    }


def dense(arguments: argparse.Namespace) -> dict[str, Any]:
    """
    Time torch in bfloat16 with one layer of the language model, and multiply that one.

    A whole model would need 15 GB; all layers have the same shapes, so each takes the same time.
    """
    _threads(arguments)
    keep_freed_memory()
    model = skeleton(full_config(1)).to_empty(device='cpu').to(torch.bfloat16)
    model.language_model.restore_rotary()
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        width = parameter[0].numel() if parameter.dim() > 1 else 1
        parameter.data.normal_(0, width**-0.5, generator=generator)
    inputs = model.prepare(observation(model))
    layer: list[tuple[float, float]] = []
    starts: list[tuple[float, float]] = []
    block = model.language_model.model.layers[0]
    block.register_forward_pre_hook(lambda *_: starts.append(_clocks()))
    block.register_forward_hook(lambda *_: layer.append(_since(starts[-1])))
    with torch.inference_mode():
        model(inputs)
        layer.clear()
        times = [_timed(lambda: model(inputs)) for _ in range(arguments.queries)]
        with charged(model) as parts:
            model(inputs)
    one, used_by_one = map(statistics.median, zip(*layer[: len(times)], strict=True))
    whole, used = map(statistics.median, zip(*times, strict=True))
    more = arguments.layers - 1
    parameters = sum(p.numel() for p in skeleton(full_config(arguments.layers)).parameters())
    return {
        'layer_seconds': round(one, 4),
        'rest_seconds': round(whole - one, 3),
        'seconds_p50': round(whole + more * one, 3),
        'cpu_seconds_p50': round(used + more * used_by_one, 3),
        'how': f'one layer measured, times {arguments.layers}, plus the rest measured',
        'weights_mib': 2 * parameters >> 20,
        'profile': _rounded(parts),
    }


def observation(model: OpenVlaOft) -> Observation:
    """Return a make-believe observation whose instruction makes the sequence 605 tokens long."""
    robot = find_robot('libero_panda', _ROBOTS)
    facts, words = model.facts, 'put'
    fixed = facts.num_images * model.config.patches + 1 + facts.chunk_size * facts.action_dim
    while True:
        seen = synthetic_observations(robot, 1, seed=0, size=(256, 256), instruction=words)[0]
        missing = TOKENS - fixed - len(model._ids(words))  # noqa: SLF001
        if missing == 0:
            return seen
        if missing < 0:
            raise ValueError(f'the question is {-missing} tokens too long')
        words += '~'


def peaks() -> dict[str, int]:
    """Return the highest resident memory so far, and what of it now is not mapped from files."""
    status = Path('/proc/self/status').read_text(encoding='ascii')
    found = {
        key: int(re.search(rf'^{key}:\s+(\d+)', status, re.MULTILINE)[1]) >> 10
        for key in ('VmHWM', 'RssAnon')
    }
    return {'peak_rss_mib': found['VmHWM'], 'anonymous_mib': found['RssAnon']}


def _threads(arguments: argparse.Namespace) -> None:
    if arguments.threads:
        torch.set_num_threads(arguments.threads)


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(start: tuple[float, float]) -> tuple[float, float]:
    wall, used = _clocks()
    return wall - start[0], used - start[1]


def _timed(run: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds on the wall and those of all processors together."""
    start = _clocks()
    run()
    return _since(start)


def _rounded(parts: dict[str, float]) -> dict[str, float]:
    ordered = sorted(parts.items(), key=lambda item: -item[1])
    return {name: round(value, 3) for name, value in ordered}
