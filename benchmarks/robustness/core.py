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
The promises of the run-time on the pure core, with a clock that the fault moves.

Each fault returns what happened: whether the promise was kept, and after how long the core
reacted. Times are exact: they come from the clock of the fault, in steps of one control period.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from hbvla_ros.core.action import ActionChunk
from hbvla_ros.core.decode import joint_values, to_rgb
from hbvla_ros.core.errors import ActionError, ObservationError
from hbvla_ros.core.latest import FreshnessConfig, Missing, ObservationAssembler
from hbvla_ros.core.robot import find_robot
from hbvla_ros.core.share import robots_folder
from hbvla_ros.evaluate.executor_trial import Trial
from hbvla_ros.policy.chunk_buffer import Drop
from hbvla_ros.policy.executor import Command, Executor, ExecutorConfig, Hold
from hbvla_ros.policy.plan import MODES, PlanConfig
from hbvla_ros.policy.pulse import Pulse
from hbvla_ros.policy.worker import Outcome, Worker
import numpy as np

MS = 1_000_000
TICK = 20 * MS
START = 10_000 * MS
ROBOT = find_robot('mobile_aloha', robots_folder())
NAMES = ROBOT.action_names
CHUNK_S = 1.0
LEASE_S = 0.3


@dataclass(frozen=True)
class Reaction:
    """Whether a promise was kept; reaction and limit in ms, None where time plays no part."""

    ok: bool
    reaction_ms: float | None = None
    limit_ms: float | None = None


class Arm:
    """An executor in motion, and the world around it."""

    def __init__(self, **config: object) -> None:
        self.executor = Executor(ROBOT, ExecutorConfig(**config))
        self.executor.set_enabled(enabled=True)
        self.now = START
        self.feel()
        self.plan()
        assert isinstance(self.tick(), Command)

    def feel(self, value: float = 0.0) -> None:
        """Measure all joints at the same place."""
        self.executor.on_state(dict.fromkeys(ROBOT.state_names, value), self.now)

    def plan(self, target: float = 0.01, stamp: int | None = None) -> Drop | None:
        """Offer a chunk of equal rows."""
        rows = np.full((25, len(NAMES)), target)
        stamp_ns = self.now if stamp is None else stamp
        chunk = ActionChunk(actions=rows, stamp_ns=stamp_ns, period_s=CHUNK_S / 25)
        return self.executor.on_chunk(chunk, NAMES, self.now)

    def tick(self) -> Command | Hold | None:
        """Let one control period pass."""
        self.now += TICK
        return self.executor.step(self.now)

    def until_hold(self, hold: Hold, *, feel: bool = True) -> float | None:
        """Tick until the motion ends, at most 5 s; return how long that took in ms."""
        begun = self.now
        for _ in range(250):
            if feel:
                self.feel()
            outcome = self.tick()
            if isinstance(outcome, Command) and outcome.hold is hold:
                silent = all(not isinstance(self.tick(), Command) for _ in range(50))
                return (self.now - 50 * TICK - begun) / 1e6 if silent else None
        return None

    def moves_again(self) -> bool:
        """Tell whether fresh inputs are enough to move again."""
        self.now += TICK
        self.feel()
        self.plan()
        return isinstance(self.tick(), Command) and self.executor.hold is None


def within(reaction_ms: float | None, limit_ms: float, *, recovers: bool) -> Reaction:
    """Judge a time."""
    kept = reaction_ms is not None and reaction_ms <= limit_ms and recovers
    return Reaction(kept, reaction_ms, limit_ms)


def camera_stops() -> Reaction:
    """Show that without a fresh image motion ends with the chunk."""
    assembler = ObservationAssembler(ROBOT, FreshnessConfig())
    assembler.set_instruction('wave')
    picture = np.zeros((4, 4, 3), dtype=np.uint8)
    for camera in ROBOT.cameras:
        assembler.add_image(camera.name, picture, START)
    late = START + 201 * MS
    for group in ROBOT.states:
        assembler.add_state(group.topic, np.zeros(7, np.float32), late)
    seen = assembler.assemble(late)
    named = isinstance(seen, Missing) and seen.reason == 'stale_image_cam_high'
    arm = Arm()
    reaction = arm.until_hold(Hold.STALE_CHUNK)
    return within(reaction, CHUNK_S * 1e3 + 20, recovers=named and arm.moves_again())


def policy_killed() -> Reaction:
    """Tell the executor that the policy is gone: it holds at the next tick."""
    arm = Arm()
    arm.executor.on_policy(arm.now, alive=False)
    reaction = arm.until_hold(Hold.POLICY_LOST)
    refused = arm.plan(stamp=arm.now) is None and not isinstance(arm.tick(), Command)
    arm.executor.on_policy(arm.now, alive=True)
    return within(reaction, 20, recovers=refused and arm.moves_again())


def policy_stopped() -> Reaction:
    """Stop the heartbeats, though the middleware says nothing, and let the policy go on."""
    arm, pulse = Arm(), Pulse(LEASE_S)
    before = arm.now
    pulse.listen(arm.now)
    pulse.beat()
    moved = True
    while moved and not pulse.lost:
        arm.feel()
        moved = isinstance(arm.tick(), Command)
        pulse.listen(arm.now + TICK)  # what the next tick will hear before it decides
    silent_ms = (arm.now - before) / MS
    arm.executor.on_policy(arm.now, alive=False)
    held_ms = arm.until_hold(Hold.POLICY_LOST)
    pulse.beat()
    arm.executor.on_policy(arm.now, alive=not pulse.lost)
    late = arm.plan(stamp=before - 1) is Drop.BEFORE_LOSS
    reaction = None if held_ms is None else silent_ms + held_ms
    return within(reaction, LEASE_S * 1e3 + 20, recovers=late and arm.moves_again())


def bad_chunk() -> Reaction:
    """Offer chunks that are not finite or misshapen: dropped whole, the plan goes on."""
    arm = Arm()
    kept = True
    for damage in (np.nan, np.inf, -np.inf):
        rows = np.zeros((25, len(NAMES)))
        rows[7, 3] = damage
        try:
            ActionChunk(actions=rows, stamp_ns=arm.now, period_s=0.04)
            kept = False
        except ActionError as error:
            arm.executor.drop_chunk(str(error))
        kept = kept and isinstance(arm.tick(), Command) and arm.executor.hold is None
    narrow = ActionChunk(actions=np.zeros((25, 3)), stamp_ns=arm.now, period_s=0.04)
    kept = kept and arm.executor.on_chunk(narrow, NAMES, arm.now) is Drop.NAMES
    return Reaction(kept and isinstance(arm.tick(), Command))


def limits() -> Reaction:
    """Throw arbitrary events at executors of all modes: no command breaks a limit."""
    problems = []
    for seed, mode in enumerate((*MODES, *MODES)):
        trial = Trial(ROBOT, ExecutorConfig(plan=PlanConfig(mode=mode)), seed)
        trial.begin()
        problems += trial.run(300)
    return Reaction(not problems)


def emergency_stop() -> Reaction:
    """Stop: nothing after the next tick, whatever else happens, until reset."""
    arm = Arm()
    arm.executor.estop('fault')
    reaction = arm.until_hold(Hold.ESTOP)
    arm.executor.set_enabled(enabled=True)
    arm.executor.on_policy(arm.now, alive=False)
    arm.executor.on_policy(arm.now, alive=True)
    still = not arm.moves_again()
    arm.executor.reset()
    off = not arm.moves_again()
    arm.executor.set_enabled(enabled=True)
    return within(reaction, 20, recovers=still and off and arm.moves_again())


def pause() -> Reaction:
    """Pause: nothing after the next tick, and then only what is observed after the pause."""
    arm = Arm()
    arm.executor.set_paused(arm.now, paused=True)
    reaction = arm.until_hold(Hold.PAUSED)
    still = arm.executor.enabled and not arm.moves_again()
    before = arm.now
    arm.now += MS
    arm.executor.set_paused(arm.now, paused=False)
    late = arm.plan(stamp=before + 1) is Drop.BEFORE_RESUME
    return within(reaction, 20, recovers=still and late and arm.moves_again())


def clock_jumps_back() -> Reaction:
    """Turn the clock back: everything is forgotten and nothing is sent."""
    arm = Arm()
    arm.now -= 3_000 * MS
    quiet = not any(isinstance(arm.tick(), Command) for _ in range(50))
    return Reaction(quiet and arm.executor.hold is Hold.CLOCK_RESET and arm.moves_again())


def instruction_changes() -> Reaction:
    """Change the instruction: motion ends, chunks observed before it are dropped."""
    arm = Arm()
    before = arm.now
    arm.now += MS
    arm.executor.on_instruction('something else', arm.now)
    reaction = arm.until_hold(Hold.NEW_INSTRUCTION)
    late = arm.plan(stamp=before + 1) is Drop.OLD_INSTRUCTION
    return within(reaction, 20, recovers=late and arm.moves_again())


def late_chunks() -> Reaction:
    """Offer late, duplicate and out-of-order chunks: all are ignored."""
    arm = Arm()
    arm.now += 100 * MS
    newest = arm.now
    kept = arm.plan(stamp=newest) is None
    kept &= arm.plan(stamp=newest) is Drop.NOT_NEWER
    kept &= arm.plan(stamp=newest - 50 * MS) is Drop.NOT_NEWER
    arm.feel()
    kept &= isinstance(arm.tick(), Command) and arm.executor.hold is None
    old = Arm()
    old.now += 5_000 * MS
    return Reaction(bool(kept) and old.plan(stamp=old.now - 3_000 * MS) is Drop.STALE)


@dataclass
class _Joints:
    name: list[str]
    position: list[float]


def _refused(read: Callable[[], object]) -> bool:
    try:
        read()
    except ObservationError:
        return True
    return False


def bad_joint_states() -> Reaction:
    """Shuffle, drop and break joints: read by name, or refused, and the robot holds."""
    group = ROBOT.states[0]
    wires = [joint.wire for joint in group.joints]
    straight = joint_values(_Joints(wires, list(np.arange(7.0))), group)
    shuffled = joint_values(_Joints(wires[::-1], list(np.arange(7.0)[::-1])), group)
    kept = bool((straight == shuffled).all())
    for names, values in ((wires[1:], [0.0] * 6), (wires, [np.nan] + [0.0] * 6)):
        message = _Joints(names, values)
        kept &= _refused(partial(joint_values, message, group))
    arm = Arm()
    for _ in range(10):  # fresh chunks keep coming, states do not
        arm.tick()
    arm.plan()
    reaction = arm.until_hold(Hold.STALE_STATE, feel=False)
    total = None if reaction is None else reaction + 200
    return within(total, 520, recovers=kept and arm.moves_again())


@dataclass
class _Image:
    encoding: str
    height: int
    width: int
    step: int
    data: bytes
    is_bigendian: int = 0


def bad_images() -> Reaction:
    """Show wrong encodings, sizes and short buffers: refused; a 4K image is read."""
    damaged = (
        _Image('16UC1', 2, 2, 4, bytes(8)),
        _Image('nonsense', 2, 2, 6, bytes(12)),
        _Image('rgb8', 4, 4, 12, bytes(11)),
        _Image('rgb8', 0, 4, 12, b''),
        _Image('rgb8', 4, 4, 5, bytes(48)),
        _Image('rgb8', 100_000, 100_000, 300_000, bytes(48)),
    )
    kept = all(_refused(partial(to_rgb, image)) for image in damaged)
    large = to_rgb(_Image('rgb8', 2160, 3840, 11520, bytes(2160 * 11520)))
    return Reaction(kept and large.shape == (2160, 3840, 3))


def stopped_by_the_operator() -> Reaction:
    """Disable, as deactivation does: the safety command, and nothing after it."""
    arm = Arm()
    last = arm.tick()
    arm.executor.set_enabled(enabled=False)
    end = arm.tick()
    assert isinstance(last, Command)
    assert isinstance(end, Command)
    same = end.values.tolist() == last.values.tolist() and end.hold is Hold.DISABLED
    return Reaction(same and not isinstance(arm.tick(), Command), 20.0, 20.0)


def inference_fails() -> Reaction:
    """Let the network raise: who waits for the result learns of it, the thread lives on."""
    outcomes: list[Outcome[str, str]] = []

    def predict(item: str) -> str:
        if item == 'bad':
            raise MemoryError('out of memory')
        return item

    worker = Worker(predict, outcomes.append, 'fault')
    worker.start()
    for item in ('bad', 'good'):
        count = len(outcomes)
        worker.submit(item)
        while len(outcomes) == count:
            pass
    ended = worker.stop(5.0)
    failed, done = outcomes
    return Reaction(ended and isinstance(failed.error, MemoryError) and done.result == 'good')


FAULTS: dict[str, Callable[[], Reaction]] = {
    'camera_stops': camera_stops,
    'policy_killed': policy_killed,
    'policy_stopped': policy_stopped,
    'bad_chunk': bad_chunk,
    'limits': limits,
    'emergency_stop': emergency_stop,
    'pause': pause,
    'clock_jumps_back': clock_jumps_back,
    'instruction_changes': instruction_changes,
    'late_chunks': late_chunks,
    'bad_joint_states': bad_joint_states,
    'bad_images': bad_images,
    'double_interrupt': stopped_by_the_operator,
    'inference_fails': inference_fails,
}
