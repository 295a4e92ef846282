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

"""The command that a report names repeats the job."""

from dataclasses import fields
from pathlib import Path
import shlex

from hbvla_ros.cli.options import read_settings
from hbvla_ros.cli.quantize import build_parser
from hbvla_ros.core.share import robots_folder
from hbvla_ros.quantize.command import command_of_artifact, quantize_command
from hbvla_ros.quantize.job import QuantizeJob
from hypothesis import given
from hypothesis import strategies as st
import pytest

TEXT = st.text(st.characters(codec='utf-8', exclude_characters='\0'))
WORD = TEXT.filter(lambda text: not text.startswith('-'))  # no layer begins with a dash
PLACE = TEXT.filter(bool)
SPECIAL = {
    'checkpoint': PLACE,
    'output': PLACE,
    'settings': st.lists(st.sampled_from(['num_salient=16', 'a=b c', "x='y'"]), max_size=3),
}


def _values(entry):
    if entry.name in SPECIAL:
        return SPECIAL[entry.name]
    if 'choices' in entry.metadata:
        return st.sampled_from(entry.metadata['choices'])
    if isinstance(entry.default, bool):
        return st.booleans()
    if isinstance(entry.default, tuple):
        return st.lists(WORD, max_size=3)
    if isinstance(entry.default, str):
        return TEXT
    low, high = entry.metadata['range']
    return (st.integers if isinstance(entry.default, int) else st.floats)(low, high)


@st.composite
def jobs(draw):
    values = {entry.name: draw(_values(entry)) for entry in fields(QuantizeJob)}
    return QuantizeJob(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


@given(jobs())
def test_parsing_the_command_gives_an_equal_job(job):
    name, *words = shlex.split(quantize_command(job))
    assert name == 'hbvla_quantize'
    assert read_settings(build_parser().parse_args(words)) == job


@pytest.mark.parametrize('text', ['-1', '--bgr', '-', "it's 5 o'clock", '$HOME `x`', 'a\nb'])
def test_a_text_that_shells_and_parsers_read_otherwise_comes_through(text):
    job = QuantizeJob(checkpoint=text, output='out', instruction=text)
    words = shlex.split(quantize_command(job))
    assert read_settings(build_parser().parse_args(words[1:])) == job


def test_only_what_is_not_a_default_is_named():
    job = QuantizeJob(checkpoint='in', output='my out', bgr=True, protect=('*.head', 'a b'))
    assert quantize_command(job) == (
        "hbvla_quantize --checkpoint in --output 'my out' --bgr --protect '*.head' 'a b'"
    )


def test_other_robot_files_are_named_and_ours_are_not():
    job = QuantizeJob(checkpoint='in', output='out')
    assert quantize_command(job, Path('/mine')).endswith('--output out --robots /mine')
    assert '--robots' not in quantize_command(job, robots_folder())


@given(jobs())
def test_the_command_of_an_artifact_differs_in_places_only(job):
    words = shlex.split(command_of_artifact(job.chosen(places=False), 'rosbag2'))
    found = read_settings(build_parser().parse_args(words[1:]))
    assert found.chosen(places=False) == job.chosen(places=False)
    assert (found.checkpoint, found.output) == ('CHECKPOINT', 'OUTPUT')
    assert found.calibration == 'RECORDING'


def test_synthetic_samples_need_no_recording():
    assert '--calibration' not in command_of_artifact({'method': 'rtn'}, 'synthetic')
