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

"""The policy node between its states: what fits, what fails, and what it says then."""

from pathlib import Path
from typing import Any

from hbvla_ros.core.errors import ActionError, ArtifactError
from policy_bench import Bench, SUCCESS
import pytest
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from stand_in import ALOHA, StandIn
import torch

pytestmark = pytest.mark.ros
FAILURE = TransitionCallbackReturn.FAILURE
ERROR = TransitionCallbackReturn.ERROR
LEFT = ALOHA.states[0]


def test_the_parameters_reach_the_loader_and_the_warm_up_is_not_counted(graph: Any) -> None:
    bench = Bench(graph, backend='dequant', device='cuda:1', num_threads=3, warmup_runs=2)
    assert bench.node.trigger_configure() is SUCCESS
    assert bench.policy.loaded == (
        Path('/models/stand_in'),
        {
            'backend': 'dequant',
            'device': 'cuda:1',
            'dtype': 'auto',
            'activations': 'exact',
            'num_threads': 3,
            'on_instruction': 'auto',
        },
    )
    assert bench.node.trigger_activate() is SUCCESS

    assert len(bench.policy.seen) == 2
    assert all((o.images['cam_high'] == 0).all() for o in bench.policy.seen)
    assert bench.says(lambda s: s['state'] == 'active', 'active')['chunks'] == 0


@pytest.mark.parametrize(
    ('parameters', 'facts', 'reason'),
    [
        ({'model_path': ''}, {}, 'model_path is empty'),
        ({'robot': 'r2d2'}, {}, "no robot 'r2d2'; known: "),
        ({}, {'num_images': 2}, 'the policy has 2 camera images, robot mobile_aloha has 3'),
        ({}, {'proprio_dim': 8}, 'the policy has 8 state values, robot mobile_aloha has 14'),
        ({}, {'action_dim': 7}, 'the policy has 7 actions, robot mobile_aloha has 14'),
        (
            {'execute_steps': 26, 'inference_rate_hz': 0.0},
            {},
            'execute_steps is 26, but this policy predicts 25 rows',
        ),
        ({'default_instruction': 'x' * 513}, {}, 'the instruction has 513 characters'),
    ],
)
def test_what_does_not_fit_fails_to_configure_and_is_explained(
    graph: Any, parameters: dict[str, Any], facts: dict[str, Any], reason: str
) -> None:
    bench = Bench(graph, StandIn(**facts), **parameters)

    assert bench.node.trigger_configure() is FAILURE
    status = bench.says(lambda s: s['level'] == 'error', 'the reason')
    assert reason in status['message']
    assert status['state'] == 'unconfigured'


def test_after_a_failure_the_node_can_be_corrected_and_configured(graph: Any) -> None:
    bench = Bench(graph, model_path='')
    assert bench.node.trigger_configure() is FAILURE

    [result] = bench.node.set_parameters([Parameter('model_path', value='/models/stand_in')])
    assert result.successful
    assert bench.node.trigger_configure() is SUCCESS
    assert bench.says(lambda s: s['state'] == 'inactive', 'inactive')['message'] == 'inactive'


@pytest.mark.parametrize(
    ('error', 'outcome', 'text'),
    [
        # Classes: a raised exception that the parameters kept would keep the whole graph alive.
        (ArtifactError, FAILURE, 'configure failed: the file is cut off'),
        (RuntimeError, ERROR, 'configure failed unexpectedly: RuntimeError: the file is cut off'),
    ],
)
def test_a_policy_that_does_not_load_leaves_the_node_unconfigured(
    graph: Any, error: type[Exception], outcome: Any, text: str
) -> None:
    class Broken(StandIn):
        """Fails to load."""

        def load(self, path: Path, **options: Any) -> Any:
            raise error('the file is cut off')

    bench = Bench(graph, Broken())

    assert bench.node.trigger_configure() is outcome
    status = bench.says(lambda s: s['level'] == 'error', 'the reason')
    assert status['message'] == text
    assert status['state'] == 'unconfigured'


def test_a_policy_that_can_not_predict_is_not_activated(graph: Any) -> None:
    bench = Bench(graph)
    assert bench.node.trigger_configure() is SUCCESS
    bench.policy.error = ActionError('the output holds NaN')

    assert bench.node.trigger_activate() is FAILURE
    assert bench.status()['message'] == 'activate failed: the output holds NaN'
    bench.policy.error = None
    assert bench.node.trigger_activate() is SUCCESS


def test_a_deactivated_node_is_silent_and_can_be_activated_again(graph: Any) -> None:
    bench = Bench(graph).start()
    bench.chunk()
    assert bench.node.trigger_deactivate() is SUCCESS
    graph.until(lambda: graph.probe.count_subscribers(ALOHA.cameras[0].topic) == 0, 'silence')
    assert bench.node.trigger_activate() is SUCCESS
    bench.chunk()
    assert bench.node.trigger_deactivate() is SUCCESS
    assert bench.node.trigger_cleanup() is SUCCESS

    bench.says(lambda s: s['state'] == 'unconfigured', 'the cleanup')
    graph.until(lambda: graph.probe.count_subscribers(LEFT.topic) == 0, 'silence')


def test_parameters_are_fixed_while_the_node_is_configured(graph: Any) -> None:
    bench = Bench(graph)
    assert bench.node.trigger_configure() is SUCCESS
    [result] = bench.node.set_parameters([Parameter('max_image_age_s', value=0.3)])

    assert not result.successful
    assert 'max_image_age_s cannot be changed now: the node is inactive' in result.reason


def test_a_parameter_out_of_range_is_refused_with_its_name(graph: Any) -> None:
    bench = Bench(graph)
    [result] = bench.node.set_parameters([Parameter('max_image_age_s', value=100.0)])

    assert not result.successful
    assert 'max_image_age_s' in result.reason
    assert '60' in result.reason


def test_a_policy_whose_weights_change_in_memory_deactivates_and_says_so(graph: Any) -> None:
    class Weighty(StandIn):
        weights = torch.zeros(100)

        def tensors(self) -> dict[str, torch.Tensor]:
            return {'layer.bits': self.weights}

    bench = Bench(graph, Weighty()).start()
    bench.chunk()
    graph.until(lambda: bench.now()['verified_rounds'] > 0, 'a verified round')
    bench.policy.weights[3] = 1.0

    graph.until(lambda: bench.node.state == 'inactive', 'the end')
    assert 'the weights changed in memory (layer.bits)' in bench.now()['message']


def test_a_stand_in_without_weights_is_not_called_verified(graph: Any) -> None:
    assert Bench(graph).start().now()['verified'] is False
