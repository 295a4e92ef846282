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

"""One family at a time, and a second plane where it pays."""

from dataclasses import replace

from builders import robot, ROBOTS, tiny_job
from hbvla_ros.artifact.store import read_manifest
from hbvla_ros.binarize.method import make_config, METHODS
from hbvla_ros.core.errors import ConfigError
from hbvla_ros.core.scene import synthetic_observations
from hbvla_ros.models.openvla_oft.checkpoint import load_checkpoint
from hbvla_ros.quantize.pipeline import run_job
from hbvla_ros.quantize.probing import probe_importance
from hbvla_ros.quantize.sensitivity import choose_families, FamilySensitivity, measure
from hbvla_ros.quantize.state import BlockJob
import pytest
import torch


def _row(family, one, two, bits=1000):
    return FamilySensitivity(
        family=family,
        component='language',
        weights=bits,
        bits_one=bits,
        bits_two=2 * bits,
        error_one=one,
        error_two=two,
    )


# gains per bit: c 27/2000, a 8/1000, b 1/1000; 4000 weights with 4000 bits to begin with
ROWS = [_row('a', 9.0, 1.0), _row('b', 3.0, 2.0), _row('c', 30.0, 3.0, bits=2000)]


@pytest.mark.parametrize(
    ('budget', 'chosen'),
    [(1.0, []), (1.3, ['a']), (1.5, ['c']), (1.75, ['c', 'a']), (2.0, ['c', 'a', 'b'])],
)
def test_families_are_taken_by_gain_per_bit_while_they_fit(budget, chosen):
    assert choose_families(ROWS, budget) == chosen


def test_a_family_that_gains_nothing_gets_no_plane():
    assert choose_families([_row('a', 1.0, 1.5)], 2.0) == []


def test_two_planes_that_cost_nothing_are_taken_first():
    free = replace(_row('free', 2.0, 1.0), bits_two=900)
    assert choose_families([*ROWS, free], 1.0) == ['free']


def test_a_budget_below_one_plane_is_refused_with_both_numbers():
    with pytest.raises(ConfigError, match=r'takes 1\.000 .* plane_budget 0\.9'):
        choose_families(ROWS, 0.9)


def test_measuring_leaves_the_model_as_it_was(tiny_run):
    model = load_checkpoint(tiny_run / 'checkpoint', preset='aloha', dtype=torch.float32)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    method = METHODS['hbvla_plus']
    inputs = [model.prepare(seen) for seen in synthetic_observations(robot(), 2, seed=0)]
    job = BlockJob(model, inputs, method, make_config(method, {}), ('projector', 'language'))
    plan = job.plan()
    for _ in probe_importance(job, plan, 1, 0):
        pass
    rows = list(measure(job, plan))
    assert [row.family for row in rows] == [n[0] for block in plan for n in block.families]
    assert all(row.error_two < row.error_one for row in rows)
    assert all(1.5 < row.bits_two / row.bits_one < 2.1 for row in rows)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_job_spends_its_budget_and_says_where(tiny_run, tmp_path):
    (tmp_path / 'checkpoint').symlink_to(tiny_run / 'checkpoint')
    errors, bits = {}, {}
    for planes in ('method', 'auto'):
        output = tmp_path / planes
        job = tiny_job(
            tmp_path,
            output=str(output),
            method='hbvla_plus',
            planes=planes,
            plane_budget=2.2,
            components=('projector', 'language'),
        )
        for _ in run_job(job, ROBOTS):
            pass
        manifest = read_manifest(output)
        errors[planes] = manifest.calibration['action_error']
        bits[planes] = manifest.totals['bits_stored']
        twice = {e.family for e in manifest.layers.values() if e.num_salient == e.shape[1]}
        assert sorted(twice) == manifest.job['two_planes']
    assert bits['method'] < bits['auto'] <= 2.2
    assert errors['auto'] < errors['method']


def test_a_method_without_a_choice_of_planes_is_refused(tiny_run, tmp_path):
    (tmp_path / 'checkpoint').symlink_to(tiny_run / 'checkpoint')
    with pytest.raises(ConfigError, match='choice of planes'):
        list(run_job(tiny_job(tmp_path, method='rtn', planes='auto'), ROBOTS))
