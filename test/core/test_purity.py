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

"""What importing core brings along, seen in a fresh interpreter."""

import json
from pathlib import Path
import subprocess
import sys

import hbvla_ros

PROBE = """
import importlib, json, pkgutil, sys
import hbvla_ros.core
for module in pkgutil.iter_modules(hbvla_ros.core.__path__):
    importlib.import_module('hbvla_ros.core.' + module.name)
print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))
"""
# Heavy or not everywhere: core needs numpy, PyYAML and the standard library.
BANNED = {'torch', 'transformers', 'rclpy', 'sensor_msgs', 'cv2', 'PIL', 'rosbags', 'simplejpeg'}


def test_core_imports_neither_torch_nor_ros_nor_decoders():
    done = subprocess.run(
        [sys.executable, '-c', PROBE],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(hbvla_ros.__file__).parents[1],
    )
    loaded = set(json.loads(done.stdout))
    assert 'numpy' in loaded
    assert not loaded & BANNED
