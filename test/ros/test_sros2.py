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

"""The SROS2 policy allows what the nodes use, and nothing else."""

from collections.abc import Iterator
from pathlib import Path
import threading
from typing import Any
import xml.etree.ElementTree as ElementTree

from builders import REPOSITORY
from hbvla_ros.quantize.job import QuantizeJob
from hbvla_ros.quantize.progress import Progress
from hbvla_ros.ros.action_executor_node import ActionExecutorNode
from hbvla_ros.ros.policy_node import PolicyNode
from hbvla_ros.ros.quantize_node import QuantizeNode
import pytest
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from stand_in import StandIn

pytestmark = pytest.mark.ros
SUCCESS = TransitionCallbackReturn.SUCCESS
POLICY = ElementTree.parse(REPOSITORY / 'config' / 'sros2' / 'policy.xml').getroot()
# Of the distribution, not of the node: absent in Humble, or only with simulated time.
MAYBE = {'get_type_description', 'clock', 'parameter_events', 'rosout'}
REMAPS = (
    *('action_chunk:=hbvla_policy/action_chunk', 'heartbeat:=hbvla_policy/heartbeat'),
    *('chunk_request:=hbvla_executor/chunk_request', 'executor_status:=hbvla_executor/status'),
)


def allowed(node: str, kind: str, mode: str) -> set[str]:
    """Return the names that a node may use."""
    (profile,) = POLICY.findall(f".//profile[@node='{node}']")
    found = [
        str(entry.text).strip()
        for group in profile.findall(kind)
        if group.get(mode) == 'ALLOW'
        for entry in group
    ]
    assert len(found) == len(set(found)), found
    return {name for name in found if name.split('/')[-1] not in MAYBE}


def used(names: list[tuple[str, Any]]) -> set[str]:
    return {n.strip('/') for n, _ in names if n.split('/')[-1] not in MAYBE}


def build(graph: Any, name: str) -> Any:
    remaps = [word for rule in REMAPS for word in ('-r', rule)]
    options: dict[str, Any] = {'context': graph.context, 'cli_args': ['--ros-args', *remaps]}
    if name == 'hbvla_executor':
        return graph.add(ActionExecutorNode(**options))
    overrides = [
        Parameter('model_path', value='/none'),
        Parameter('publish_seen', value=True),
    ]
    return graph.add(PolicyNode(StandIn().load, parameter_overrides=overrides, **options))


@pytest.mark.parametrize('name', ['hbvla_policy', 'hbvla_executor'])
def test_a_node_may_use_exactly_what_it_uses(graph: Any, name: str) -> None:
    node = build(graph, name)
    assert node.trigger_configure() is SUCCESS
    assert node.trigger_activate() is SUCCESS
    compare(graph, name)


def test_the_quantize_node_may_use_exactly_what_it_uses(graph: Any) -> None:
    done = threading.Event()

    def job(_job: Any, _robots: Path) -> Iterator[Progress]:
        done.wait(30)
        yield Progress(1, 1, 'verify', 'all good')

    values = {'checkpoint': '/in', 'output': '/out'}
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    graph.add(QuantizeNode(QuantizeJob, job, context=graph.context, parameter_overrides=overrides))
    compare(graph, 'hbvla_quantize')
    done.set()


def compare(graph: Any, name: str) -> None:
    """Compare what a node uses with its enclave."""
    probe = graph.probe
    wanted = {
        'publish': allowed(name, 'topics', 'publish'),
        'subscribe': allowed(name, 'topics', 'subscribe'),
        'reply': allowed(name, 'services', 'reply'),
    }

    def found() -> dict[str, set[str]]:
        return {
            'publish': used(probe.get_publisher_names_and_types_by_node(name, '/')),
            'subscribe': used(probe.get_subscriber_names_and_types_by_node(name, '/')),
            'reply': used(probe.get_service_names_and_types_by_node(name, '/')),
        }

    def discovered() -> bool:  # endpoints become known one by one, after the node
        if name not in probe.get_node_names():
            return False
        now = found()
        return all(now[kind] >= names for kind, names in wanted.items())

    graph.until(discovered, f'all that {name} may use: {wanted}')
    graph.spin(50)  # what it should not use may be discovered last
    assert found() == wanted


def test_each_node_has_an_enclave_of_its_own() -> None:
    paths = [enclave.get('path') for enclave in POLICY.iter('enclave')]

    assert paths == ['/hbvla/policy', '/hbvla/executor', '/hbvla/quantize']
    assert POLICY.tag == 'policy'
    assert POLICY.get('version') == '0.2.0'
