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

"""Hooks that record inputs."""

from hbvla_ros.calib.capture import arguments_of, run_until_seen, watch_inputs
from hbvla_ros.core.errors import CalibrationError
import pytest
import torch
from torch import nn


def test_every_run_of_a_watched_module_is_seen_and_hooks_go_away():
    linear, seen = nn.Linear(3, 2), []
    with watch_inputs({'l': linear}, lambda name, x: seen.append((name, x))):
        linear(torch.ones(4, 3))
        linear(torch.zeros(1, 3))
    linear(torch.ones(1, 3))
    assert [(name, tuple(x.shape)) for name, x in seen] == [('l', (4, 3)), ('l', (1, 3))]


def test_hooks_go_away_after_an_error():
    linear = nn.Linear(3, 2)
    with pytest.raises(RuntimeError), watch_inputs({'l': linear}, lambda name, x: None):
        linear(torch.ones(1, 5))
    assert not linear._forward_pre_hooks


def test_the_forward_pass_stops_at_the_module():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    after = []
    model[1].register_forward_hook(lambda *_: after.append(1))
    args, kwargs = arguments_of(model[1], lambda: model(torch.ones(1, 3)))
    assert args[0].shape == (1, 3)
    assert kwargs == {}
    assert not after


def test_a_module_that_is_not_reached_is_an_error():
    with pytest.raises(CalibrationError, match='Identity was not reached'):
        arguments_of(nn.Identity(), lambda: None)


def test_a_run_ends_as_soon_as_everything_wanted_was_seen():
    layers = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4), nn.Linear(4, 5))
    reached = []
    layers[2].register_forward_pre_hook(lambda *_: reached.append(2))
    seen = {}
    wanted = {'a': layers[0], 'b': layers[1]}
    run_until_seen(wanted, seen.__setitem__, lambda: layers(torch.ones(1, 2)))
    assert {name: tuple(x.shape) for name, x in seen.items()} == {'a': (1, 2), 'b': (1, 3)}
    assert reached == []
    layers(torch.ones(1, 2))  # the hooks are gone
    assert reached == [2]
