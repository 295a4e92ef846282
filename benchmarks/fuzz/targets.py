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
What reads files of others, and what it may do with damaged ones: refuse, or read something valid.

A target prepares its files once and then reads damaged copies. Any exception that is not ours is a
finding, and so are files that appear beside those that were read.
"""

from collections.abc import Callable
from dataclasses import dataclass
import faulthandler
from pathlib import Path
import resource
import shutil
import signal
from typing import Any

from benchmarks.fuzz.mutate import mutate
from benchmarks.record import REPOSITORY
from hbvla_ros.core.errors import HbvlaError
import numpy as np

_SLOW_S = 20  # one damaged file may not take longer


@dataclass
class Found:
    """What became of the damaged files of one target."""

    refused: int = 0
    read: int = 0
    findings: list[str] | None = None
    growth_mib: float = 0.0

    @property
    def ok(self) -> bool:
        """Tell whether nothing was found."""
        return not self.findings


@dataclass(frozen=True)
class Target:
    """
    One kind of file.

    ``prepare(folder)`` writes a valid one into a folder and returns the files that are damaged;
    ``read(folder)`` reads it. With ``meaning`` no damage that changes the meaning of what was read
    may go unnoticed; spaces between the entries of a JSON file have none.
    """

    prepare: Callable[[Path], list[Path]]
    read: Callable[[Path], Any]
    meaning: Callable[[Any], Any] | None = None


def fuzz(target: Target, folder: Path, count: int, seed: int) -> Found:
    """
    Read a number of damaged copies.

    :param target: what to damage and to read
    :param folder: empty, for the files
    :param count: how many
    :param seed: equal seeds damage equally
    """
    rng = np.random.default_rng(seed)
    valid = folder / 'valid'
    valid.mkdir(parents=True)
    files = [path.relative_to(valid) for path in target.prepare(valid)]
    contents = {path: (valid / path).read_bytes() for path in files}
    right = target.read(valid)
    before = _peak_mib()
    found = Found(findings=[])
    names = sorted(str(path.relative_to(valid)) for path in valid.rglob('*'))
    for index in range(count):
        path = files[int(rng.integers(len(files)))]
        (valid / path).write_bytes(mutate(contents[path], rng))
        problem = _read(target, valid, found, right)
        if problem:
            _report(found, f'{index}: {path}: {problem}')
        if sorted(str(p.relative_to(valid)) for p in valid.rglob('*')) != names:
            _report(found, f'{index}: {path}: files appeared or vanished')
        (valid / path).write_bytes(contents[path])
    found.growth_mib = round(_peak_mib() - before, 1)
    shutil.rmtree(folder)
    return found


def _report(found: Found, problem: str) -> None:
    assert found.findings is not None
    found.findings.append(problem)


def _read(target: Target, folder: Path, found: Found, right: Any) -> str:
    def stop(*_: Any) -> None:
        raise TimeoutError(f'longer than {_SLOW_S} s')

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(_SLOW_S)
    faulthandler.dump_traceback_later(3 * _SLOW_S, exit=True)  # native code hears no alarm
    try:
        came = target.read(folder)
    except HbvlaError as error:
        found.refused += 1
        return '' if str(error) else 'an error without words'
    except BaseException as error:  # everything else is what we are looking for
        return f'{type(error).__name__}: {error}'[:300]
    finally:
        signal.alarm(0)
        faulthandler.cancel_dump_traceback_later()
    found.read += 1
    if target.meaning is None or target.meaning(came) == target.meaning(right):
        return ''
    return 'damage went unnoticed'


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _robot_file(folder: Path) -> list[Path]:
    source = REPOSITORY / 'config' / 'robots' / 'widowx.yaml'
    shutil.copy(source, folder / 'robot.yaml')
    return [folder / 'robot.yaml']


def _read_robot(folder: Path) -> Any:
    from hbvla_ros.core.robot import RobotSpec

    return RobotSpec.from_yaml(folder / 'robot.yaml')


def _read_manifest(folder: Path) -> Any:
    from hbvla_ros.artifact.store import read_manifest

    return read_manifest(folder)


def _read_artifact(folder: Path) -> Any:
    from hbvla_ros.artifact.store import load_artifact

    return load_artifact(folder)


def _hdf5(folder: Path) -> list[Path]:
    from hbvla_ros.core.episodes.hdf5 import AlohaEpisode, write_aloha_episode

    frames = np.full((3, 24, 32, 3), 90, dtype=np.uint8)
    table = np.zeros((3, 14), dtype=np.float32)
    episode = AlohaEpisode(
        images=dict.fromkeys(('cam_high', 'cam_left_wrist', 'cam_right_wrist'), frames),
        state=table,
        action=table,
        instruction='wave',
        period_s=0.02,
    )
    path = folder / 'episode_0.hdf5'
    write_aloha_episode(path, episode)
    return [path]


def _read_hdf5(folder: Path) -> Any:
    from hbvla_ros.core.episodes.episode import ReadConfig
    from hbvla_ros.core.episodes.find import open_episodes

    for episode in open_episodes(folder, ReadConfig()):
        for camera in episode.cameras:
            for index in range(min(episode.length, 3)):
                episode.frame(camera, index)
        if episode.state is None:  # actions may be absent
            raise AssertionError('an episode without states')


def _bag(storage: str) -> Callable[[Path], list[Path]]:
    def prepare(folder: Path) -> list[Path]:
        from hbvla_ros.core.robot import find_robot
        from hbvla_ros.core.share import robots_folder
        from hbvla_ros.evaluate.synthetic import EpisodeConfig, write_demo_bag

        robot = find_robot('libero_panda', robots_folder())
        config = EpisodeConfig(seconds=0.1, size=(16, 16), compressed=False)
        write_demo_bag(folder / 'bag', robot, config, storage)
        return sorted((folder / 'bag').iterdir())

    return prepare


def _read_bag(folder: Path) -> Any:
    from hbvla_ros.core.bag import read_bag

    return [item.stamp_ns for item in read_bag(folder / 'bag')]


def _checkpoint(folder: Path) -> list[Path]:
    from hbvla_ros.models.tiny import write_tiny_checkpoint

    write_tiny_checkpoint(folder / 'checkpoint')
    return sorted(path for path in (folder / 'checkpoint').iterdir() if path.is_file())


def _read_checkpoint(folder: Path) -> Any:
    from hbvla_ros.models.base import MODELS
    import torch

    return MODELS['openvla_oft'].load(
        folder / 'checkpoint', preset='aloha', unnorm_key='', dtype=torch.float32
    )


def _meaning(artifact: Any) -> Any:
    """Return what an artifact says; its tensors and files were compared with these hashes."""
    return artifact.manifest.to_json()


def artifact_of(source: Path) -> Callable[[Path], list[Path]]:
    """Return what copies an artifact that exists."""

    def prepare(folder: Path) -> list[Path]:
        from hbvla_ros.artifact.store import read_manifest

        shutil.copytree(source, folder, dirs_exist_ok=True)
        named = ('manifest.json', 'model.safetensors')
        return [folder / name for name in (*named, *read_manifest(folder).files)]

    return prepare


def targets(artifact: Path) -> dict[str, Target]:
    """
    Return all targets.

    :param artifact: folder of a small artifact
    """
    whole = artifact_of(artifact)
    return {
        'artifact': Target(whole, _read_artifact, meaning=_meaning),
        'manifest': Target(lambda folder: whole(folder)[:1], _read_manifest),
        'robot file': Target(_robot_file, _read_robot),
        'checkpoint': Target(_checkpoint, _read_checkpoint),
        'HDF5 episode': Target(_hdf5, _read_hdf5),
        'bag, mcap': Target(_bag('mcap'), _read_bag),
        'bag, sqlite3': Target(_bag('sqlite3'), _read_bag),
    }
