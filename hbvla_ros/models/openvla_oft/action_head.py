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
The two small networks of OpenVLA-OFT beside the language model, under their published names.

``ProprioProjector`` turns the robot's state into one token; ``L1ActionHead`` turns the hidden
states of a chunk into normalised actions. Neither squashes its output.
"""

import torch
from torch import nn
from torch.nn import functional

RESIDUAL_BLOCKS = 2


class ProprioProjector(nn.Module):
    """State to one token of the language model."""

    def __init__(self, proprio_dim: int, hidden: int) -> None:
        """
        Build the two linears.

        :param proprio_dim: width of the state
        :param hidden: token width of the language model
        """
        super().__init__()
        self.fc1 = nn.Linear(proprio_dim, hidden)
        self.fc2 = nn.Linear(hidden, hidden)

    def forward(self, state: torch.Tensor) -> torch.Tensor:
        """Turn the normalised state ``[B, proprio_dim]`` into ``[B, hidden]``."""
        out: torch.Tensor = self.fc2(functional.gelu(self.fc1(state)))
        return out


class ResidualBlock(nn.Module):
    """``x + relu(linear(norm(x)))``."""

    def __init__(self, hidden: int) -> None:
        """
        Build one block.

        :param hidden: width
        """
        super().__init__()
        self.ffn = nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, hidden), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Transform ``[..., hidden]``."""
        out: torch.Tensor = x + self.ffn(x)
        return out


class ActionMlp(nn.Module):
    """The residual network of the head, applied to each time step on its own."""

    def __init__(self, action_dim: int, hidden: int) -> None:
        """
        Build the network.

        :param action_dim: actions per time step
        :param hidden: token width of the language model
        """
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(action_dim * hidden)
        self.fc1 = nn.Linear(action_dim * hidden, hidden)
        self.mlp_resnet_blocks = nn.ModuleList(
            ResidualBlock(hidden) for _ in range(RESIDUAL_BLOCKS)
        )
        self.layer_norm2 = nn.LayerNorm(hidden)
        self.fc2 = nn.Linear(hidden, action_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Turn ``[..., action_dim * hidden]`` into ``[..., action_dim]``."""
        x = functional.relu(self.fc1(self.layer_norm1(x)))
        for block in self.mlp_resnet_blocks:
            x = block(x)
        out: torch.Tensor = self.fc2(self.layer_norm2(x))
        return out


class L1ActionHead(nn.Module):
    """Hidden states of the action positions to a chunk of actions."""

    def __init__(self, action_dim: int, hidden: int) -> None:
        """
        Build the head.

        :param action_dim: actions per time step
        :param hidden: token width of the language model
        """
        super().__init__()
        self.action_dim = action_dim
        self.model = ActionMlp(action_dim, hidden)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """
        Predict a chunk.

        :param states: ``[B, chunk_size * action_dim, hidden]``
        :return: ``[B, chunk_size, action_dim]``, normalised
        """
        batch, tokens, hidden = states.shape
        steps = states.reshape(batch, tokens // self.action_dim, self.action_dim * hidden)
        out: torch.Tensor = self.model(steps)
        return out
