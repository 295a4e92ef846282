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

"""Variants: what a line of text means, and that each is made once and loads as it was made."""

from dataclasses import replace
import json

from closed_loop_parts import environments, tiny_bench
from hbvla_ros.binarize.method import METHODS
from hbvla_ros.core.errors import ArtifactError, ConfigError
from hbvla_ros.evaluate.simulated_recording import record_demonstrations
from hbvla_ros.evaluate.variants import (
    ablation_variants,
    artifact_variant,
    component_variants,
    parse_variant,
    parse_variants,
)
from hbvla_ros.models.surgery import find_linear
import pytest
import torch

LINEAR = 'language_model.model.layers.0.mlp.gate_proj'


def test_a_method_alone_is_the_job_with_its_defaults():
    job = parse_variant('hbvla_plus').job(checkpoint='c', output='o')
    assert (job.method, job.settings, job.tune, job.checkpoint) == ('hbvla_plus', (), 'none', 'c')


def test_choices_of_the_job_and_settings_of_the_method_are_told_apart():
    variant = parse_variant(
        'hbvla_plus:tune=block:transform=haar:plane_budget=1.5:components=vision+projector'
        ':sweeps=2:calibration_episodes=8'
    )
    job = variant.job(checkpoint='c', output='o')
    assert (job.tune, job.plane_budget) == ('block', 1.5)
    assert job.components == ('vision', 'projector')
    assert job.method_settings() == {'transform': 'haar', 'sweeps': 2}
    assert variant.calibration_episodes == 8


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('hbvla_pluss', 'known: fp, billm'),
        (
            'hbvla_plus:sweps=1',
            r"settings \['sweps'\].*sweeps.*choices of the job",
        ),
        ('hbvla_plus:tune=hard', 'tune must be one of'),
        ('hbvla_plus:sweeps=many', 'sweeps'),
        ('rtn:checkpoint=/tmp', 'unknown method settings'),
        ('rtn:tune', 'METHOD:name=value'),
        ('fp:tune=block', 'fp has no choices'),
        ('rtn:calibration_episodes=few', 'number of episodes'),
        ('rtn:num_samples=[', 'no value'),
    ],
)
def test_a_variant_that_can_not_be_is_refused_with_what_is_known(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_variant(text)


@pytest.mark.parametrize('method', list(METHODS))
def test_every_method_is_a_variant(method):
    assert parse_variant(method).recipe()['method'] == method


def test_defaults_that_are_spelled_out_make_the_same_recipe():
    plain, spelled, other = (
        parse_variant(f'hbvla_plus{text}')
        for text in ('', ':target=corrected:sweeps=8', ':target=plain')
    )
    assert plain.recipe() == spelled.recipe() != other.recipe()


def test_components_come_alone_by_default_and_all_together():
    found = [dict(v.choices)['components'] for v in component_variants(['fp', 'rtn'])]
    assert found[:4] == [('vision',), ('projector',), ('language',), ('action_head',)]
    assert found[4:] == [
        ('vision', 'projector', 'language'),
        ('vision', 'projector', 'language', 'action_head'),
    ]


def test_the_ablation_changes_one_thing_at_a_time():
    base, *others = ablation_variants('hbvla_plus')
    assert base.label == 'hbvla_plus'
    recipe = base.recipe()
    for variant in others:
        changed = variant.recipe()
        config, jobs = recipe['config'], {**recipe, 'config': None}
        differ = {n for n, value in changed.pop('config').items() if value != config[n]}
        differ |= {name for name, value in changed.items() if value != jobs[name]}
        assert len(differ - {'pairing'}) <= 1, variant.label
    with pytest.raises(ConfigError, match='rtn:corrected'):
        ablation_variants('rtn')


def test_the_same_text_twice_is_one_variant():
    assert [v.label for v in parse_variants(['rtn', ' rtn', '', 'fp'])] == ['rtn', 'fp']


@pytest.fixture(scope='module')
def store(tmp_path_factory):
    """Return a store with demonstrations to calibrate with."""
    for env in environments('aloha_pick', 1):
        env.close()
    bench = tiny_bench(tmp_path_factory.mktemp('tiny'))
    folder = bench.store.recording(parse_variant('rtn'))
    assert list(record_demonstrations(folder, bench.robot, 1)) == [1]
    assert not list(record_demonstrations(folder, bench.robot, 1))  # it is there
    return bench.store


@pytest.mark.sim
@pytest.mark.parametrize('method', ['rtn', 'hbllm_row'])
def test_a_variant_is_made_once_and_loads_as_the_method_left_it(store, method):
    variant = parse_variant(f'{method}:components=language:protect=*down_proj')
    assert not store.is_made(variant)
    assert list(store.make(variant))
    assert store.is_made(variant)
    full, coded = (store.load(one, 'dequant') for one in (parse_variant('fp'), variant))
    changed = [
        name
        for name, module in full.named_modules()
        if isinstance(module, torch.nn.Linear)
        and not torch.equal(module.weight, find_linear(coded, name).weight)
    ]
    assert changed
    assert all(name.startswith('language_model') for name in changed)
    assert not [name for name in changed if name.endswith('down_proj')]
    facts = store.facts(variant)
    assert facts['bits']['stored'] > facts['bits']['sign'] >= 1
    assert facts['bits']['stored_at_oft'] > 1
    assert facts['recipe']['components'] == ['language']


@pytest.mark.sim
def test_one_bit_is_two_values_per_row_and_group(store):
    variant = parse_variant('rtn:components=language')
    list(store.make(variant))
    weight = find_linear(store.load(variant, 'dequant'), LINEAR).weight
    assert all(len(row.unique()) == 2 for row in weight)  # 128 columns: one group
    packed = store.load(variant, 'packed').get_submodule(LINEAR)
    assert not hasattr(packed, 'weight')


@pytest.mark.sim
def test_an_artifact_is_scored_under_the_name_of_its_folder(store):
    made = parse_variant('rtn')
    list(store.make(made))
    variant = artifact_variant(store.output / 'variants' / store.name(made))
    assert variant.label == store.name(made)
    assert store.is_made(variant)
    assert store.facts(variant)['bits'] == store.facts(made)['bits']
    assert store.trained_on(variant) == 'aloha_sim'
    assert store.name(variant) != store.name(made)
    one, other = (store.load(v, 'dequant').state_dict() for v in (variant, made))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.sim
def test_other_settings_or_data_never_find_older_files(store, tmp_path):
    variant, name = parse_variant('rtn'), store.name(parse_variant('rtn'))
    assert store.name(parse_variant('rtn:components=vision')) != name
    assert store.name(replace(variant, calibration_episodes=3)) != name
    assert replace(store, samples=3).name(variant) != name
    other = tiny_bench(tmp_path).store
    assert other.name(variant) == name  # wherever it lies
    config = other.checkpoint / 'config.json'
    config.write_text(json.dumps({**json.loads(config.read_text()), 'note': 1}))
    assert tiny_bench(tmp_path).store.name(variant) != name


def test_without_a_checkpoint_a_method_can_not_be_made(tmp_path):
    store = replace(tiny_bench(tmp_path).store, checkpoint=None)
    with pytest.raises(ConfigError, match='--checkpoint'):
        store.name(parse_variant('rtn'))
    with pytest.raises(ArtifactError):
        store.name(artifact_variant(tmp_path / 'nothing'))


@pytest.mark.sim
def test_a_damaged_dense_variant_is_refused(store):
    variant = parse_variant('billm:components=language')
    list(store.make(variant))
    [file] = (store.output / 'variants').glob('billm-*.safetensors')
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ArtifactError, match='remove it'):
        store.load(variant, 'dequant')
