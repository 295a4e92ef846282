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

"""
The errors that callers tell apart.

Every message says what was expected, what came and what to do. A node catches ``HbvlaError`` and
holds the robot with the message as the reason; anything else is a bug and is allowed to surface.
"""


class HbvlaError(Exception):
    """Something outside the program is not as it should be."""


class ConfigError(HbvlaError, ValueError):
    """A setting, a parameter or a robot file makes no sense."""


class CheckpointError(HbvlaError):
    """A full-precision checkpoint is incomplete, damaged or of another architecture."""


class ArtifactError(HbvlaError):
    """A packed artifact is incomplete, damaged or newer than this program."""


class CalibrationError(HbvlaError):
    """The calibration data can't be used."""


class ObservationError(HbvlaError, ValueError):
    """An image, a joint state or an instruction can't be used; the robot holds."""


class ActionError(HbvlaError, ValueError):
    """A predicted or received chunk of actions can't be used; it is dropped whole."""
