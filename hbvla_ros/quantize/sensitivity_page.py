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

"""What a measurement of sensitivity says, as text for a terminal and as an HTML page."""

from collections.abc import Mapping
from typing import Any

from hbvla_ros.core.page import facts_table, page
from hbvla_ros.quantize.report_page import sensitivity_section


def sensitivity_text(facts: Mapping[str, Any]) -> str:
    """
    Return a table for a terminal, the family that gains most per bit first.

    :param facts: from :meth:`hbvla_ros.quantize.sensitivity_job.SensitivityRun.facts`
    """
    lines = [
        f'{"family":56} {"component":10} {"weights":>12} {"one plane":>10} {"two":>10} '
        f'{"gain/bit":>9}'
    ]
    for row in facts['rows']:
        mark = '  second plane' if row['two_planes'] else ''
        lines.append(
            f'{row["family"]:56} {row["component"]:10} {row["weights"]:12,} '
            f'{row["error_one"]:10.2e} {row["error_two"]:10.2e} {row["gain_per_bit"]:9.1e}{mark}'
        )
    return '\n'.join([*lines, _budget(facts)])


def sensitivity_page(facts: Mapping[str, Any]) -> str:
    """
    Return the page.

    :param facts: from :meth:`hbvla_ros.quantize.sensitivity_job.SensitivityRun.facts`
    """
    summary = facts_table(
        {
            'checkpoint': facts['checkpoint'],
            'checkpoint SHA-256': facts['source_sha256'],
            'method': facts['method'],
            'calibration data': facts['calibration'],
            'samples': facts['samples'],
            'calibration SHA-256': facts['samples_sha256'],
            'budget, stored bits per weight': facts['plane_budget'],
        }
    )
    title = f'Sensitivity with {facts["method"]}'
    return page(title, [_budget(facts), summary, *sensitivity_section(facts['rows'])])


def _budget(facts: Mapping[str, Any]) -> str:
    chosen = sum(row['two_planes'] for row in facts['rows'])
    said = facts['note'] or f'{chosen} of {len(facts["rows"])} families would get a second plane'
    return f'planes: auto with plane_budget {facts["plane_budget"]:g}: {said}'
