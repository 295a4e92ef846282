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

"""``hbvla_sensitivity``: which layers move the action most when they are binarized."""

import argparse
from collections.abc import Sequence
import logging
import sys

from hbvla_ros.cli.options import (
    add_results,
    add_settings,
    read_settings,
    robots_of,
    show_progress,
    write_results,
)
from hbvla_ros.core.errors import HbvlaError

# Nothing is written, coded in order or tuned here.
_WITHOUT = (
    *('checkpoint', 'output', 'target', 'target_factor', 'planes'),
    *('tune', 'tune_steps', 'distill_steps', 'distill_samples'),
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser: the checkpoint, and the options of hbvla_quantize that matter here."""
    parser = argparse.ArgumentParser(
        prog='hbvla_sensitivity',
        description='Measure how much each family of layers moves the action when it alone is '
        'binarized, with one plane and with two.',
        epilog='Exit status: 0 done, 2 could not run, 130 interrupted.',
    )
    parser.add_argument('checkpoint', help='folder of the full-precision checkpoint')
    add_settings(parser, without=_WITHOUT)
    add_results(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """
    Measure, print and write.

    :return: the exit status
    """
    logging.basicConfig(level=logging.WARNING, format='%(levelname)s %(message)s')
    arguments = build_parser().parse_args(argv)
    from hbvla_ros.quantize.sensitivity_job import SensitivityRun
    from hbvla_ros.quantize.sensitivity_page import sensitivity_page, sensitivity_text

    try:
        job = read_settings(arguments, output='nothing is written')
        run = SensitivityRun(job, robots_of(arguments))
        show_progress(run.steps())
        facts = run.facts()
        print(sensitivity_text(facts))
        write_results(arguments, facts, sensitivity_page)
    except (HbvlaError, OSError) as error:
        print(f'hbvla_sensitivity: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('hbvla_sensitivity: stopped; nothing was written', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
