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

"""The quantization node with a job that only pretends."""

from collections.abc import Iterator
import json
from pathlib import Path
import threading
from typing import Any

from hbvla_ros.core.errors import CheckpointError, ConfigError
from hbvla_ros.quantize.job import QuantizeJob
from hbvla_ros.quantize.progress import Progress
from hbvla_ros.ros import qos
from hbvla_ros.ros.quantize_node import QuantizeNode
import pytest
from rclpy.parameter import Parameter
from std_msgs.msg import String

pytestmark = pytest.mark.ros


class Job:
    """Two steps; waits before the second, and may then fail."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.go = threading.Event()
        self.asked: tuple[Any, Path] | None = None

    def run(self, job: Any, robots: Path) -> Iterator[Progress]:
        self.asked = (job, robots)
        yield Progress(1, 2, 'quantize', 'block 1', 1, 4, 0.25, 3, 12, 0.05)
        assert self.go.wait(10)
        if self.error is not None:
            raise self.error
        yield Progress(2, 2, 'verify', 'all good')


def make(graph: Any, job: Job, **parameters: Any) -> QuantizeNode:
    values = {'checkpoint': '/in', 'output': '/out', **parameters}
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    return graph.add(
        QuantizeNode(QuantizeJob, job.run, context=graph.context, parameter_overrides=overrides)
    )


def test_a_job_reports_its_steps_and_ends_with_status_0(graph: Any) -> None:
    job = Job()
    steps = graph.collect(String, '/hbvla_quantize/progress', qos.STATUS)
    node = make(graph, job, method='rtn', protect=['*.head'])
    graph.until(lambda: steps, 'the first step')
    assert node.exit_status is None
    job.go.set()
    graph.until(lambda: len(steps) == 2, 'the second step')
    graph.until(lambda: node.exit_status is not None, 'the end')

    assert node.exit_status == 0
    first = json.loads(steps[0].data)
    assert first.pop('stage_seconds_left') > 0
    assert first == {
        'done': 1,
        'total': 2,
        'stage': 'quantize',
        'detail': 'block 1',
        'stage_done': 1,
        'stage_total': 4,
        'stage_share': 0.25,
        'layers_done': 3,
        'layers_total': 12,
        'error': 0.05,
    }
    assert job.asked is not None
    assert job.asked[0] == QuantizeJob(
        checkpoint='/in', output='/out', method='rtn', protect=('*.head',)
    )
    assert (job.asked[1] / 'mobile_aloha.yaml').is_file()
    assert graph.status('hbvla_quantize')()['message'] == 'done: /out'


@pytest.mark.parametrize('error', [CheckpointError, RuntimeError])
def test_a_job_that_fails_ends_with_status_1_and_the_reason(
    graph: Any, error: type[Exception]
) -> None:
    job = Job(error('file 2 of 4 is missing'))
    node = make(graph, job)
    job.go.set()
    graph.until(lambda: node.exit_status is not None, 'the end')

    assert node.exit_status == 1
    status = graph.status('hbvla_quantize')()
    assert status['level'] == 'error'
    assert status['message'] == f'failed: {error.__name__}: file 2 of 4 is missing'


def test_an_interrupted_job_ends_after_its_present_step(graph: Any) -> None:
    job = Job()
    node = make(graph, job)
    graph.until(lambda: node.count_publishers('/hbvla_quantize/progress'), 'the node')
    threading.Timer(0.05, job.go.set).start()
    node.close()

    assert node.exit_status is None
    assert not any(thread.name == 'hbvla_quantize' for thread in threading.enumerate())


def test_a_number_out_of_range_is_refused_with_its_name(graph: Any) -> None:
    with pytest.raises(ConfigError, match='num_samples'):
        make(graph, Job(), num_samples=0)


def test_a_job_without_a_checkpoint_is_refused(graph: Any) -> None:
    with pytest.raises(ConfigError, match='checkpoint is needed'):
        make(graph, Job(), checkpoint='')
