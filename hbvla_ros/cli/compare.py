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

"""``hbvla_compare``: how far apart two policies are on the same observations."""

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
import sys

from hbvla_ros.cli.options import add_results, robots_of, write_results
from hbvla_ros.core.errors import HbvlaError


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        prog='hbvla_compare',
        description='Compare an artifact with another one, or with its checkpoint.',
        epilog='Exit status: 0 done, 2 could not run.',
    )
    add = parser.add_argument
    add('first', type=Path, help='folder of an artifact')
    add('second', type=Path, help='folder of another artifact, or of a checkpoint')
    source = ('--calibration', '--observations')
    add(*source, dest='source', default='synthetic', help='as for hbvla_quantize')
    add('--robot', default='', help='robot file; default: that of the calibration of the first')
    add('--num', dest='count', type=int, default=16, help='observations (default: 16)')
    add('--seed', type=int, default=1, help='of synthetic observations (default: 1)')
    add('--instruction', default='', help='replaces the recorded instruction')
    add('--bgr', action='store_true', help='the cameras of HDF5 recordings delivered bgr8')
    add('--model', default='', help='kind of the checkpoint; default: that of the first')
    add('--preset', default='', help='preset of the checkpoint; default: that of the first')
    add('--robots', type=Path, default=None, help='folder of robot files')
    add_results(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """
    Compare, print and write.

    :return: the exit status
    """
    arguments = build_parser().parse_args(argv)
    from hbvla_ros.evaluate.compare_page import comparison_page, comparison_text
    from hbvla_ros.evaluate.side_by_side import CompareConfig, run_comparison

    try:
        choices = {entry.name: getattr(arguments, entry.name) for entry in fields(CompareConfig)}
        facts = run_comparison(CompareConfig(**choices), robots_of(arguments))
        print(comparison_text(facts))
        write_results(arguments, facts, comparison_page)
    except (HbvlaError, OSError) as error:
        print(f'hbvla_compare: {error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
