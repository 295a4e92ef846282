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
Turn a graph of ``hbvla_ros.bringup.graph`` into launch actions; shared by the launch files here.

Only APIs that Humble, Jazzy and Kilted have in common. The launch files load this file by its
path, since launch files are no package.
"""

import os

from hbvla_ros.bringup.graph import ARGUMENTS, build_graph, PACKAGE
from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.events import matches_action
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.parameter_descriptions import ParameterValue
from lifecycle_msgs.msg import Transition


def describe(graph):
    """Return the launch description of a graph: its arguments, then its nodes."""
    declared = [
        DeclareLaunchArgument(
            argument.name,
            default_value=argument.default,
            description=argument.description,
            choices=list(argument.choices) or None,
        )
        for argument in ARGUMENTS[graph]
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=_start, args=[graph])])


def _start(context, graph):
    values = {
        argument.name: context.launch_configurations[argument.name]
        for argument in ARGUMENTS[graph]
    }
    actions = []
    for spec in build_graph(graph, values, os.environ):
        node = _node(spec)
        # The handler comes first: a quick node may change its state before the next action runs.
        if spec.lifecycle and values['autostart'] == 'true':
            actions.extend([_activate_when_configured(node), node, _change(node, 'CONFIGURE')])
        else:
            actions.append(node)
    return actions


def _node(spec):
    # A text is passed as a ParameterValue: launch_ros would read a plain one as YAML.
    parameters = {
        name: ParameterValue(value, value_type=str) if isinstance(value, str) else value
        for name, value in spec.parameters.items()
    }
    return (LifecycleNode if spec.lifecycle else Node)(
        package=PACKAGE,
        executable=spec.executable,
        name=spec.name,
        namespace=spec.namespace,
        parameters=[*spec.parameter_files, *([parameters] if parameters else [])],
        remappings=list(spec.remappings),
        additional_env=dict(spec.env),
        ros_arguments=['--log-level', spec.log_level],
        output='screen',
        on_exit=[Shutdown(reason=f'{spec.name} is done')] if spec.ends_graph else None,
    )


def _activate_when_configured(node):
    # Only after configuring: a node that deactivated itself must stay inactive.
    return RegisterEventHandler(
        OnStateTransition(
            target_lifecycle_node=node,
            start_state='configuring',
            goal_state='inactive',
            entities=[_change(node, 'ACTIVATE')],
        )
    )


def _change(node, transition):
    return EmitEvent(
        event=ChangeState(
            lifecycle_node_matcher=matches_action(node),
            transition_id=getattr(Transition, f'TRANSITION_{transition}'),
        )
    )
