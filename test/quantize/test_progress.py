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

"""How far a job is, what is left, and where its time went."""

from hbvla_ros.quantize.progress import (
    duration,
    Progress,
    progress_line,
    StageSeconds,
    StepCounter,
    TimeLeft,
)
from hypothesis import given
from hypothesis import strategies as st
import pytest


def _progress(stage='quantize', share=1.0, **more):
    return Progress(done=1, total=2, stage=stage, detail='layer', stage_share=share, **more)


@given(st.floats(0.01, 1e4), st.integers(2, 50))
def test_at_constant_speed_the_estimate_is_exact(step_s, count):
    left = TimeLeft(100.0)
    for number in range(1, count + 1):
        said = left.update(_progress(share=number / count), 100.0 + number * step_s)
        assert said == pytest.approx((count - number) * step_s, rel=1e-6, abs=1e-6)


def test_steps_count_by_their_work():
    left = TimeLeft(0.0)
    # A tenth of the weights took 3 s, so nine tenths take 27 s.
    assert left.update(_progress(share=0.1), 3.0) == pytest.approx(27.0)


def test_blocks_that_were_done_before_are_forgotten_soon():
    left = TimeLeft(0.0)
    now = 0.0
    for number in range(1, 11):
        left.update(_progress(share=number / 20), now)
    for number in range(11, 15):
        now += 5.0
        said = left.update(_progress(share=number / 20), now)
    assert said == pytest.approx(6 * 5.0)


def test_a_stage_is_judged_by_its_own_speed():
    left = TimeLeft(0.0)
    left.update(_progress('probe', 0.5), 1.0)
    left.update(_progress('probe', 1.0), 2.0)
    assert left.update(_progress('quantize', 0.25), 12.0) == pytest.approx(30.0)


def test_nothing_is_said_before_anything_is_done():
    assert TimeLeft(0.0).update(_progress(share=0.0), 1.0) is None


def test_the_counter_counts_steps_layers_work_and_the_mean_error():
    count = StepCounter({'load': [1.0], 'quantize': [1.0, 3.0], 'none': [], 'save': [1.0]}, 6)
    steps = [
        count.step('load', ''),
        count.step('quantize', '', 2, 0.1),
        count.step('quantize', '', 4, 0.4),
        count.step('save', ''),
    ]
    assert [(step.done, step.total) for step in steps] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert [step.stage_share for step in steps] == [1.0, 0.25, 1.0, 1.0]
    assert [(s.stage_done, s.stage_total) for s in steps] == [(1, 1), (1, 2), (2, 2), (1, 1)]
    assert [step.layers_done for step in steps] == [0, 2, 6, 6]
    assert [step.error for step in steps] == [None, 0.1, pytest.approx(0.3), pytest.approx(0.3)]


def test_a_line_says_blocks_layers_error_and_time():
    step = Progress(9, 30, 'quantize', 'projector', 5, 12, 0.4, 20, 80, 0.0123)
    line = progress_line(step, 200.0)
    assert line == (
        '9/30 quantize: projector; 5 of 12; 20 of 80 layers; mean output error 0.0123; '
        '3 min 20 s left of this stage'
    )


def test_a_line_says_only_what_is_known():
    assert progress_line(Progress(0, 3, 'load', 'x'), None) == '0/3 load: x'


@pytest.mark.parametrize(
    ('seconds', 'text'),
    [(0.2, 'under 1 s'), (12.4, '12 s'), (200, '3 min 20 s'), (18120, '5 h 02 min')],
)
def test_a_duration_is_written_for_people(seconds, text):
    assert duration(seconds) == text


def _clock(*times):
    return iter(times).__next__


def test_the_seconds_of_a_stage_add_up():
    watch = StageSeconds(_clock(10.0, 11.0, 13.0, 16.5))
    for stage in ('load', 'quantize', 'quantize'):
        watch.note(stage)
    assert watch.seconds == {'load': 1.0, 'quantize': 5.5}


def test_a_job_that_goes_on_adds_to_what_it_took_before(tmp_path):
    file = tmp_path / 'seconds.json'
    first = StageSeconds(_clock(0.0, 1.0, 5.0))
    first.note('load')
    first.keep(file)
    first.note('quantize')
    second = StageSeconds(_clock(100.0, 102.0, 103.0))
    second.keep(file)
    second.note('load')
    second.note('quantize')
    assert second.seconds == {'load': 3.0, 'quantize': 5.0}


@pytest.mark.parametrize('content', ['', '{', '[1]', '{"load": "x"}', '{"load": null}'])
def test_a_damaged_file_of_seconds_does_not_stop_a_job(tmp_path, content):
    file = tmp_path / 'seconds.json'
    file.write_text(content)
    watch = StageSeconds(_clock(0.0, 2.0))
    watch.keep(file)
    watch.note('load')
    assert watch.seconds['load'] == 2.0


def test_a_folder_that_is_gone_does_not_stop_a_job(tmp_path):
    watch = StageSeconds(_clock(0.0, 2.0))
    watch.keep(tmp_path / 'gone' / 'seconds.json')
    watch.note('save')
    assert watch.seconds == {'save': 2.0}
    assert list(tmp_path.iterdir()) == []
