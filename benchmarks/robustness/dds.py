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
The promises of the run-time with real processes over Fast DDS; each fault is done for real.

Every fault begins with a robot in motion and ends with one: a system that needs more than the end
of the fault to move again has not kept its promise. Limits are what the design promises;
``SLACK_MS`` is what a busy machine may add, and is reported beside them.
"""

from collections.abc import Callable
from pathlib import Path
import signal
import subprocess
import time

from benchmarks.robustness.actors import BROKEN, ROBOT
from benchmarks.robustness.core import LEASE_S, Reaction
from benchmarks.robustness.lab import CAMERAS, EXECUTOR, Lab, POLICY
from hbvla_ros.core.action import ActionChunk
from hbvla_ros.ros.chunks import chunk_message
from hbvla_ros.ros.images import image_message
import numpy as np
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool, String
from std_srvs.srv import SetBool

TICK_MS = 20.0
LEASE_MS = 1e3 * LEASE_S
SLACK_MS = 150.0
CHUNK_MS = 1000.0
IMAGE_AGE_MS = 200.0
_FLOOD = 300  # messages


def judge(reaction_ms: float, limit_ms: float, *, also: bool = True) -> Reaction:
    """Judge a time against what is promised and what a busy machine may add."""
    return Reaction(also and reaction_ms <= limit_ms + SLACK_MS, round(reaction_ms, 1), limit_ms)


def camera_stops(lab: Lab) -> Reaction:
    """Kill the process of the cameras, and start it again."""
    lab.moving()
    begun = time.monotonic()
    lab.send(CAMERAS, signal.SIGKILL)
    lab.until(lambda: 'image cam_high' in lab.status(POLICY).get('message', ''), 'a name')
    named = lab.status(POLICY)['level'] == 'error'
    reaction = lab.silence(begun)
    lab.start(CAMERAS)
    lab.moving()
    return judge(reaction, IMAGE_AGE_MS + CHUNK_MS + TICK_MS, also=named)


def policy_killed(lab: Lab) -> Reaction:
    """Kill the policy, and start it again."""
    lab.moving()
    begun = time.monotonic()
    lab.send(POLICY, signal.SIGKILL)
    reaction = lab.held(begun, 'policy_lost')
    lab.start(POLICY)
    lab.rouse(POLICY)
    lab.moving()
    return judge(reaction, LEASE_MS + TICK_MS)


def policy_stopped(lab: Lab) -> Reaction:
    """Stop the policy, and let it go on."""
    lab.moving()
    begun = time.monotonic()
    lab.send(POLICY, signal.SIGSTOP)
    reaction = lab.held(begun, 'policy_lost')
    lab.send(POLICY, signal.SIGCONT)
    lab.moving()
    return judge(reaction, LEASE_MS + TICK_MS)


def _offer(lab: Lab, rows: np.ndarray, damage: float | None = None, age_ms: int = 0) -> None:
    stamp = lab.node.get_clock().now().nanoseconds - age_ms * 1_000_000
    message = chunk_message(ActionChunk(actions=rows, stamp_ns=stamp, period_s=0.04), ROBOT)
    if damage is not None:
        message.points[3].positions[2] = damage
    lab.chunks.publish(message)


def _dropped(lab: Lab, reason: str) -> int:
    return int(lab.status(EXECUTOR).get('chunks_dropped', {}).get(reason, 0))


def bad_chunk(lab: Lab) -> Reaction:
    """Publish chunks that are not finite between those of the policy."""
    lab.moving()
    before, count = _dropped(lab, 'invalid'), len(lab.commands)
    for damage in (np.nan, np.inf, -np.inf):
        _offer(lab, np.zeros((25, 14)), damage)
        time.sleep(0.1)  # of chunks that come at once only the last is looked at
    lab.until(lambda: _dropped(lab, 'invalid') >= before + 3, 'the drops')
    lab.moving()
    finite = bool(np.isfinite(lab.positions()[count:]).all())
    return Reaction(finite and lab.status(EXECUTOR)['hold'] == '')


def limits(lab: Lab) -> Reaction:
    """Publish wild chunks between those of the policy and judge every command."""
    lab.moving()
    rng = np.random.default_rng(0)
    count = len(lab.commands)
    for _ in range(40):
        rows = np.tile(rng.uniform(-1.0, 1.0, 14), (25, 1)) * rng.choice([0.1, 1.0, 100.0])
        _offer(lab, rows)
        time.sleep(0.03)
    lab.moving()
    arm = ROBOT.actions[:6]  # the gripper travels in another unit
    values = lab.positions()[count:, :6]
    lower, upper, speed = np.array([(a.lower, a.upper, a.max_velocity) for a in arm]).T
    inside = ((lower <= values) & (values <= upper)).all()
    steps = np.abs(np.diff(values, axis=0)).max(axis=0)
    return Reaction(bool(inside and (steps <= speed * TICK_MS / 1e3 + 1e-9).all()))


def emergency_stop(lab: Lab) -> Reaction:
    """Press the button, restart the policy meanwhile, release, reset and enable."""
    lab.moving()
    begun = time.monotonic()
    lab.estop.publish(Bool(data=True))
    reaction = lab.silence(begun)
    lab.send(POLICY, signal.SIGKILL)
    lab.start(POLICY)
    lab.rouse(POLICY)
    lab.enable()
    still = lab.silence(begun) == reaction
    lab.estop.publish(Bool(data=False))
    lab.until(lambda: lab.trigger('reset'), 'the reset')
    still &= lab.silence(begun) == reaction
    lab.enable()
    lab.moving()
    return judge(reaction, TICK_MS, also=still)


def pause(lab: Lab) -> Reaction:
    """Pause while the policy goes on, and resume without enabling again."""
    client = lab.node.create_client(SetBool, f'{EXECUTOR}/pause')
    on, off = SetBool.Request(data=True), SetBool.Request(data=False)
    lab.answer(client, off)
    lab.moving()
    begun = time.monotonic()
    lab.answer(client, on)
    reaction = lab.silence(begun)
    status = lab.status(EXECUTOR)
    armed = status['enabled'] and status['hold'] == 'paused'
    still = lab.silence(begun, quiet_s=1.5) == reaction
    lab.answer(client, off)
    lab.node.destroy_client(client)
    lab.moving()
    return judge(reaction, TICK_MS, also=armed and still)


def instruction_changes(lab: Lab) -> Reaction:
    """Say something else."""
    lab.moving()
    before = int(lab.status(EXECUTOR).get('holds', {}).get('new_instruction', 0))
    lab.words.publish(String(data=f'something else, {time.monotonic()}'))

    def held() -> bool:
        holds = lab.status(EXECUTOR).get('holds', {})
        return int(holds.get('new_instruction', 0)) > before

    lab.until(held, 'the hold')
    lab.moving()
    return Reaction(ok=True)


def late_chunks(lab: Lab) -> Reaction:
    """Publish old chunks between those of the policy."""
    lab.moving()
    for age_ms in (900, 5000):  # older than the policy's newest, and than any horizon

        def counted() -> int:
            return _dropped(lab, 'stale') + _dropped(lab, 'not_newer')

        before = counted()
        while counted() == before:  # a message may be replaced by one that is newer
            _offer(lab, np.zeros((25, 14)), age_ms=age_ms)
            time.sleep(0.2)
    lab.moving()
    return Reaction(ok=lab.status(EXECUTOR)['hold'] == '')


def bad_joint_states(lab: Lab) -> Reaction:
    """Stop the joint states, publish damaged ones, and go on."""
    lab.moving()
    group = ROBOT.states[0]
    damaged = lab.node.create_publisher(JointState, group.topic, 10)
    before = int(lab.status(EXECUTOR).get('bad_states', 0))
    begun = time.monotonic()
    lab.feels = False
    wires = [joint.wire for joint in group.joints]
    damaged.publish(JointState(name=wires[1:], position=[0.0] * 6))
    time.sleep(0.05)
    damaged.publish(JointState(name=wires, position=[float('nan')] + [0.0] * 6))
    reaction = lab.silence(begun)
    lab.until(lambda: int(lab.status(EXECUTOR)['bad_states']) > before, 'the count')
    held = lab.status(EXECUTOR).get('hold') == 'stale_state'
    lab.node.destroy_publisher(damaged)
    lab.feels = True
    lab.moving()
    return judge(reaction, 500 + TICK_MS, also=held)


def bad_images(lab: Lab) -> Reaction:
    """Publish wrong encodings, a short buffer and a 4K image beside the camera's."""
    lab.moving()
    topic = ROBOT.cameras[0].topic
    publisher = lab.node.create_publisher(Image, topic, 10)
    lab.until(lambda: publisher.get_subscription_count() > 0, 'the policy')

    def undecodable() -> int:
        inputs = lab.status(POLICY).get('inputs', {}).get('cam_high', {})
        return int(inputs.get('dropped', {}).get('undecodable', 0))

    before = undecodable()
    stamp = lab.node.get_clock().now().nanoseconds
    short = image_message(np.zeros((4, 4, 3), np.uint8), stamp)
    short.data = short.data[:7]
    depth = image_message(np.zeros((4, 4), np.uint8), stamp, encoding='16UC1')
    large = image_message(np.zeros((2160, 3840, 3), np.uint8), stamp)
    for message in (short, depth, large):
        publisher.publish(message)
        time.sleep(0.1)
    # The cameras are read with best effort; a message may be lost, both are not.
    lab.until(lambda: undecodable() > before, 'the drops')
    lab.node.destroy_publisher(publisher)
    lab.moving()
    return Reaction(ok=True)


def inference_fails(lab: Lab) -> Reaction:
    """Let the network run out of memory, then activate the policy again."""
    lab.moving()
    begun = time.monotonic()
    lab.words.publish(String(data=BROKEN))
    lab.until(lambda: lab.status(POLICY).get('state') == 'inactive', 'the policy to stop')
    reaction = lab.silence(begun)
    explained = 'out of memory' in lab.status(POLICY).get('message', '')
    lab.words.publish(String(data='wave again'))
    time.sleep(0.1)
    lab.change(POLICY, 'activate')
    lab.moving()
    return judge(reaction, CHUNK_MS + TICK_MS, also=explained)


def wrong_qos(lab: Lab) -> Reaction:
    """Publish the stop button with best effort, which a reliable subscription can't hear."""
    weak = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    quiet = PublisherEventCallbacks(use_default_callbacks=False)
    publisher = lab.node.create_publisher(Bool, 'estop', weak, event_callbacks=quiet)
    lab.until(
        lambda: "'estop': 'RELIABILITY'" in lab.status(EXECUTOR).get('message', ''), 'the name'
    )
    lab.node.destroy_publisher(publisher)
    lab.moving()
    return Reaction(ok=True)


def flooding(lab: Lab) -> Reaction:
    """Publish joint states as fast as possible for a second, and until there were enough."""
    lab.moving()
    calm = _rate(lab, lambda passed: passed < 1.0, lambda: None)
    group = ROBOT.states[0]
    flood = lab.node.create_publisher(JointState, group.topic, 10)
    names = [joint.wire for joint in group.joints]
    sent: list[float] = []

    def publish() -> None:
        values = [joint.to_wire(lab.measured[joint.name]) for joint in group.joints]
        flood.publish(JointState(name=names, position=values))
        sent.append(time.monotonic())

    flooded = _rate(lab, lambda passed: passed < 1.0 or len(sent) < _FLOOD, publish)
    lab.node.destroy_publisher(flood)
    lab.moving()
    # Half of the commands: this process, which floods, shares the machine with those that move.
    return Reaction(ok=flooded > calm / 2)


def _rate(lab: Lab, more: Callable[[float], bool], work: Callable[[], None]) -> float:
    """Return the commands per second while some work is done again and again."""
    count, begun = len(lab.commands), time.monotonic()
    while more(time.monotonic() - begun):
        work()
        time.sleep(0.0005)
    return (len(lab.commands) - count) / (time.monotonic() - begun)


def double_interrupt(lab: Lab) -> Reaction:
    """Interrupt the executor twice, as Ctrl-C under a launch file does."""
    lab.moving()
    begun = time.monotonic()
    process = lab.processes[EXECUTOR]
    process.send_signal(signal.SIGINT)
    time.sleep(0.01)
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    process.wait(timeout=10)
    reaction = lab.silence(begun)
    values = lab.positions()
    same = bool((values[-1] == values[-2]).all())
    lab.start(EXECUTOR)
    lab.rouse(EXECUTOR)
    lab.enable()
    lab.moving()
    return judge(reaction, TICK_MS + 100, also=same and process.returncode == 0)


def disk_full(lab: Lab, folder: Path) -> Reaction:
    """
    Run the executor with its log on a disk without room.

    :param folder: a file system that is full
    """
    lab.send(EXECUTOR, signal.SIGKILL)
    lab.start(EXECUTOR, ROS_LOG_DIR=str(folder))
    lab.rouse(EXECUTOR)
    lab.enable()
    lab.moving()
    for enabled in (False, True) * 5:  # each is a line in the log
        del enabled
        lab.enable()
    lab.moving()
    alive = lab.processes[EXECUTOR].poll() is None
    lab.send(EXECUTOR, signal.SIGKILL)
    lab.start(EXECUTOR)
    lab.rouse(EXECUTOR)
    lab.enable()
    lab.moving()
    return Reaction(ok=alive)


def full_disk(folder: Path) -> bool:
    """Mount a file system of 64 kB at a folder and fill it; False where that is not allowed."""
    command = ['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        return False
    try:
        (folder / 'filler').write_bytes(bytes(1 << 20))
    except OSError:
        return True
    return True


def unmount(folder: Path) -> None:
    """Undo :func:`full_disk`."""
    subprocess.run(['umount', '-l', str(folder)], check=False)


FAULTS: dict[str, Callable[[Lab], Reaction]] = {
    'bad_chunk': bad_chunk,
    'late_chunks': late_chunks,
    'limits': limits,
    'instruction_changes': instruction_changes,
    'bad_joint_states': bad_joint_states,
    'bad_images': bad_images,
    'wrong_qos': wrong_qos,
    'flooding': flooding,
    'camera_stops': camera_stops,
    'policy_stopped': policy_stopped,
    'policy_killed': policy_killed,
    'emergency_stop': emergency_stop,
    'pause': pause,
    'inference_fails': inference_fails,
    'double_interrupt': double_interrupt,
}
