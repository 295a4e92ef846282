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
A small lifecycle node that behaves as its parameter ``mood`` says, for tests of the runner.

It also echoes its parameters and whether it is active on ``~/status``, and ticks on ``out``.
"""

import json
import signal
import sys

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String
from std_srvs.srv import SetBool

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class FakeNode(LifecycleNode):
    """``good``, ``moody``, ``fragile`` or ``brief``."""

    def __init__(self):
        super().__init__('fake', automatically_declare_parameters_from_overrides=True)
        self.mood = self.parameters().get('mood', 'good')
        self.status = self.create_publisher(String, '~/status', LATCHED)
        self.out = self.create_lifecycle_publisher(String, 'out', 10)
        self.create_service(SetBool, '~/enable', self.on_enable)
        self.create_timer(0.02, lambda: self.out.publish(String(data='tick')))

    def parameters(self):
        return {name: self.get_parameter(name).value for name in self.list_parameters([], 1).names}

    def tell(self, message):
        print(message, flush=True)
        self.status.publish(
            String(data=json.dumps({'message': message, 'parameters': self.parameters()}))
        )

    def on_enable(self, request, response):
        response.success = request.data
        response.message = f'you said {request.data}'
        return response

    def on_configure(self, state):
        if self.mood == 'fragile':
            print('I can not bear this', flush=True)
            sys.exit(3)
        if self.mood == 'moody':
            self.tell('not today')
            return TransitionCallbackReturn.FAILURE
        self.tell('inactive')
        return super().on_configure(state)

    def on_activate(self, state):
        self.tell('active')
        return super().on_activate(state)


def main():
    rclpy.init()
    node = FakeNode()
    if node.mood == 'brief':
        print('that was all', flush=True)
        sys.exit(0)
    try:
        node.tell('unconfigured')  # a test may interrupt from here on
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException, RuntimeError):
        pass  # rclpy may turn an interrupt into a RuntimeError
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
