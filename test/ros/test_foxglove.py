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

"""The topics and services of the Foxglove layout are those of the nodes."""

import json
import re

from builders import REPOSITORY, robot

ALOHA = robot('mobile_aloha')
LAYOUT = REPOSITORY / 'config' / 'foxglove' / 'mobile_aloha.json'


def test_every_panel_of_the_layout_is_placed_and_every_place_has_a_panel():
    layout = json.loads(LAYOUT.read_text(encoding='utf-8'))
    placed = re.findall(r'"((?:\w+)!(?:\w+))"', json.dumps(layout['layout']))

    assert sorted(placed) == sorted(layout['configById'])


def test_the_layout_names_topics_and_services_that_exist():
    text = LAYOUT.read_text(encoding='utf-8')
    own = {'/hbvla_policy/seen', '/hbvla_policy/status', '/hbvla_executor/status', '/diagnostics'}
    own |= {'/hbvla_executor/estop', '/hbvla_executor/enable', '/hbvla_executor/pause'}
    robots = {f'/{group.topic}' for group in (*ALOHA.states, *ALOHA.outputs)}
    robots.add(f'/{ALOHA.instruction_topic}')
    named = set(re.findall(r'"(/[\w/]+)', text))

    assert named <= own | robots
    assert len(named) >= 9
