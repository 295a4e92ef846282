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

"""Drawn episodes for a page: pictures side by side, and films."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
import io
from pathlib import Path

from hbvla_ros.core.page import Markup, picture
from hbvla_ros.evaluate.episode_files import EpisodeFiles, FIRST, LAST
from hbvla_ros.evaluate.evaluation import Evaluation, METHODS_TABLE
from PIL import Image, ImageOps

_BORDER = 3  # pixels
_COLOURS = {True: '#009e73', False: '#d55e00', None: '#888888'}


@dataclass(frozen=True, slots=True)
class Shown:
    """
    The drawn episodes of one policy.

    ``pictures`` are files with what became of the episode, None where it only begins. ``film`` may
    be absent.
    """

    label: str
    pictures: Sequence[tuple[Path, bool | None]]
    film: Path


def shown_episodes(wanted: Evaluation) -> dict[str, list[Shown]]:
    """
    Return by task how the first episodes begin, and how they end with each policy.

    :param wanted: what was scored
    """
    files, found = EpisodeFiles(wanted.bench), dict[str, list[Shown]]()
    seeds = wanted.seeds[: wanted.shown]
    for trial in wanted.tables.get(METHODS_TABLE, ()):
        rows = files.read(trial) if wanted.bench.store.is_made(trial.variant) else {}
        drawn = [s for s in seeds if s in rows and files.picture(trial, s, LAST).is_file()]
        policies = found.setdefault(trial.task, [])
        if drawn and not policies:
            begin = [(files.picture(trial, seed, FIRST), None) for seed in drawn]
            policies.append(Shown('how they begin', begin, Path()))
        ends = [(files.picture(trial, seed, LAST), bool(rows[seed]['success'])) for seed in drawn]
        policies.append(Shown(trial.variant.label, ends, files.film(trial, wanted.first_seed)))
    return found


def strip(pictures: Sequence[tuple[Path, bool | None]]) -> bytes:
    """
    Return pictures side by side as the bytes of a PNG file.

    :param pictures: at least one; the border tells what became of the episode
    """
    framed = []
    for path, success in pictures:
        with Image.open(path) as image:
            framed.append(ImageOps.expand(image.convert('RGB'), _BORDER, _COLOURS[success]))
    sheet = Image.new('RGB', (sum(f.width for f in framed), max(f.height for f in framed)))
    left = 0
    for frame in framed:
        sheet.paste(frame, (left, 0))
        left += frame.width
    file = io.BytesIO()
    sheet.save(file, 'PNG', optimize=True)
    return file.getvalue()


def film(one: Shown) -> Markup:
    """Return the film of a policy, inside the page."""
    source = base64.b64encode(one.film.read_bytes()).decode()
    still = picture(b'', f'{one.label}: one episode', one.label)
    return Markup(still.replace('data:image/png;base64,', f'data:image/gif;base64,{source}'))
