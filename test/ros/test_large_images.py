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

"""The transport profile that we ship gets raw camera images through."""

import json
import os
from pathlib import Path
import subprocess
import sys

from hbvla_ros.bringup.graph import build_graph
import pytest

pytestmark = pytest.mark.ros
SCRIPT = Path(__file__).with_name('large_images.py')


@pytest.mark.slow
def test_three_raw_cameras_at_30_hz_arrive_with_the_profile():
    distribution = {'ROS_DISTRO': os.environ.get('ROS_DISTRO', '')}
    policy, _ = build_graph('policy', {}, distribution)
    environment = {
        **os.environ,
        **policy.env,
        'ROS_DOMAIN_ID': str(1 + (os.getpid() * 19 + 70) % 101),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
    }
    receiver, publisher = (
        subprocess.Popen(
            [sys.executable, str(SCRIPT), role],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for role in ('receive', 'publish')
    )
    output, _ = receiver.communicate(timeout=30)
    said, _ = publisher.communicate(timeout=30)
    assert (receiver.returncode, publisher.returncode) == (0, 0), output + said
    result = json.loads(output.splitlines()[-1])
    shares = [count / result['frames'] for count in result['received']]
    print(f'received of each camera: {[f"{share:.1%}" for share in shares]}')
    assert min(shares) >= 0.95
