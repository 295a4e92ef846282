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

"""What runs beside the inference: show that it lives, verify its weights, show what it saw."""

from collections.abc import Callable
from typing import Any

from hbvla_ros.ros.heartbeat import Heartbeat
from hbvla_ros.ros.inference import Inference
from hbvla_ros.ros.integrity import Integrity
from hbvla_ros.ros.managed_node import ManagedNode
from hbvla_ros.ros.seen import SeenImage
from hbvla_ros.ros.settings import PolicyParameters


class Companions:
    """All of them, as the parameters ask for."""

    def __init__(
        self,
        node: ManagedNode,
        settings: PolicyParameters,
        policy: Any,
        inference: Inference,
        on_damage: Callable[[str], None],
    ) -> None:
        """
        Prepare, and advertise topics.

        :param node: runs timers and publishes
        :param settings: say what is wanted
        :param policy: that was just loaded
        :param inference: tells of every chunk
        :param on_damage: called with the name of a weight that changed in memory
        """
        self._heartbeat = Heartbeat(node)
        self._integrity = Integrity(node, policy, settings.scrub_mib_per_s, on_damage)
        self._seen: SeenImage | None = None
        if settings.publish_seen:
            self._seen = SeenImage(node)
            inference.on_chunk = self._seen.show

    def start(self) -> None:
        """Begin, with the inference."""
        self._heartbeat.start()
        self._integrity.start()

    def stop(self) -> None:
        """Pause, with the inference."""
        self._heartbeat.stop()
        self._integrity.stop()

    def close(self) -> None:
        """Withdraw everything."""
        self._heartbeat.stop()
        self._integrity.stop()
        if self._seen is not None:
            self._seen.close()

    def summary(self) -> dict[str, Any]:
        """Return what was verified, as plain JSON values."""
        return self._integrity.summary()
