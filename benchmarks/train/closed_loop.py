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

"""Closed-loop success of a policy, the only measure that training listens to."""

from collections.abc import Callable

from hbvla_ros.core.observation import Observation
from hbvla_ros.evaluate.sim.env import AlohaEnv
from hbvla_ros.models.openvla_oft.model import OpenVlaOft
import numpy as np
from numpy.typing import NDArray
import torch

FIRST_SEED = 900_000
Act = Callable[[dict[str, object], str], NDArray[np.float64]]


def actor(policy: OpenVlaOft) -> Act:
    """Return the policy as a function from observation and instruction to a chunk of actions."""
    scaling = policy.facts.scaling('action')

    @torch.inference_mode()
    def act(observed: dict[str, object], instruction: str) -> NDArray[np.float64]:
        observation = Observation(
            images=observed['pixels'],
            state=observed['agent_pos'],
            instruction=instruction,
            stamp_ns=0,
        )
        chunk = policy(policy.prepare(observation))[0]
        return scaling.unnormalize(chunk.double().numpy())

    return act


def success_rate(env: AlohaEnv, act: Act, episodes: int, first_seed: int = FIRST_SEED) -> float:
    """Return the share of episodes in which the policy succeeds, following whole chunks."""
    return float(np.mean([run_episode(env, act, first_seed + k) for k in range(episodes)]))


def run_episode(env: AlohaEnv, act: Act, seed: int) -> bool:
    """Run one episode without delay; the world waits for the policy."""
    env.reset(seed=seed)
    while True:
        for action in act(env.observe(), env.task_description):
            _, _, success, over, _ = env.step(action)
            if success or over:
                return success
