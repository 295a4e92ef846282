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

"""``hbvla_quantize``: quantize a checkpoint without ROS."""

import argparse
from collections.abc import Sequence
import logging
import sys

from hbvla_ros.cli.options import add_settings, read_settings, robots_of, show_progress
from hbvla_ros.core.errors import HbvlaError


def build_parser() -> argparse.ArgumentParser:
    """Return the parser: one option per field of the job."""
    parser = argparse.ArgumentParser(
        prog='hbvla_quantize',
        description='Quantize a checkpoint without ROS.',
        epilog='Exit status: 0 done, 1 failed with the reason, 130 interrupted.',
    )
    add_settings(parser, needed=('checkpoint', 'output'))
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the job and show its progress.

    :return: 0, or 1 after an error that was explained, 130 after Ctrl-C
    """
    logging.basicConfig(level=logging.WARNING, format='%(levelname)s %(message)s')
    arguments = build_parser().parse_args(argv)
    from hbvla_ros.quantize.pipeline import run_job  # imports torch: not needed for --help

    try:
        show_progress(run_job(read_settings(arguments), robots_of(arguments)))
    except HbvlaError as error:
        print(f'hbvla_quantize: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('hbvla_quantize: stopped; the same command goes on from here', file=sys.stderr)
        return 130
    print(f'wrote {arguments.output} and {arguments.output}.report.html')
    return 0


if __name__ == '__main__':
    sys.exit(main())
