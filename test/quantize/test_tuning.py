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

"""Block tuning."""

from builders import ROBOTS, stats_of, tiny_job, tiny_layer
from hbvla_ros.artifact.store import read_manifest
from hbvla_ros.binarize.method import make_config, METHODS
from hbvla_ros.core.errors import ConfigError
from hbvla_ros.quantize.pipeline import run_job
from hbvla_ros.quantize.state import BlockJob, BlockOptions
from hbvla_ros.quantize.tuning import AdjustableWeight, tune_block, TuneProblem, TuneSettings
import pytest
import torch
from torch import nn


def _code(weight, x, **settings):
    method = METHODS['hbvla']
    (code,) = method.quantize([weight], stats_of(x), make_config(method, settings))
    return code


class Block(nn.Module):
    """A norm and two linears."""

    def __init__(self, n):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(n), nn.Linear(n, 2 * n), nn.Linear(2 * n, n)

    def forward(self, x, scale):
        return x + self.down(torch.relu(self.up(self.norm(x)))) * scale


def _problem(samples=12, n=64):
    torch.manual_seed(0)
    block = Block(n).requires_grad_(requires_grad=False)
    calls = [((torch.randn(1, 9, n), torch.ones(1)), {}) for _ in range(samples)]
    wanted = [block(*args) for args, _ in calls]
    x = block.norm(torch.cat([args[0][0] for args, _ in calls]))
    hidden = torch.relu(block.up(x))
    codes = {'up': _code(block.up.weight, x), 'down': _code(block.down.weight, hidden)}
    for name, code in codes.items():
        block.get_submodule(name).weight.copy_(code.dequantize())
    ones = [torch.ones(1, 9)] * samples
    return block, codes, TuneProblem(calls, wanted.__getitem__, ones)


def _tune(block, codes, problem, **changes):
    settings = TuneSettings(**{'steps': 30, 'batch': 4, **changes})
    return tune_block(block, codes, problem, settings, torch.Generator().manual_seed(0))


@pytest.mark.parametrize('settings', [{}, {'num_salient': 16}, {'planes': 2}])
def test_untouched_it_is_the_code_itself(settings):
    weight, x = tiny_layer(out=12, n=200)
    code = _code(weight, x, **settings)
    adjustable = AdjustableWeight(code)
    torch.testing.assert_close(adjustable.dense().detach(), code.dequantize())
    assert torch.equal(adjustable.code().signs, code.signs)
    torch.testing.assert_close(adjustable.code().dequantize(), code.dequantize())


def test_it_brings_the_block_nearer_to_its_full_precision_outputs():
    block, codes, problem = _problem()
    tuned, before, after = _tune(block, codes, problem, steps=150)
    assert after < 0.9 * before  # 0.87 on these few samples of noise
    for name, code in tuned.items():  # what stands in the block is what will be packed
        assert torch.equal(block.get_submodule(name).weight, code.dequantize())


def test_no_sign_moves():
    block, codes, problem = _problem()
    tuned, _, _ = _tune(block, codes, problem)
    assert all(torch.equal(tuned[name].signs, codes[name].signs) for name in codes)


def test_norms_and_biases_take_part():
    block, codes, problem = _problem()
    before = block.norm.weight.clone()
    _tune(block, codes, problem)
    assert not torch.equal(block.norm.weight, before)


def test_what_would_be_worse_is_not_kept():
    block, codes, problem = _problem()
    before = {name: tensor.clone() for name, tensor in block.named_parameters()}
    tuned, error, same = _tune(block, codes, problem, steps=1, level_rate=50.0, other_rate=50.0)
    assert error == same
    assert all(tuned[name] is codes[name] for name in codes)
    for name, tensor in block.named_parameters():
        assert torch.equal(tensor, before[name])


def test_equal_seeds_give_equal_results():
    first, second = (_tune(*_problem())[0] for _ in range(2))
    for name in first:
        assert torch.equal(first[name].levels, second[name].levels)
        assert torch.equal(first[name].row_scale, second[name].row_scale)


def test_a_tuned_job_moves_the_actions_less(tiny_run, tmp_path):
    (tmp_path / 'checkpoint').symlink_to(tiny_run / 'checkpoint')
    errors = {}
    for tune in ('none', 'block'):
        output = tmp_path / tune
        job = tiny_job(tmp_path, output=str(output), tune=tune, tune_steps=30, method='hbvla')
        for _ in run_job(job, ROBOTS):
            pass
        manifest = read_manifest(output)
        assert manifest.job['tune'] == tune
        errors[tune] = manifest.calibration['action_error']
    assert errors['block'] < errors['none']


def test_a_method_off_the_level_grid_can_not_be_tuned():
    with pytest.raises(ConfigError, match='on the level grid'):
        BlockJob(None, [], METHODS['billm'], None, options=BlockOptions(tune='block'))
