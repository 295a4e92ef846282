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
from dataclasses import fields
import logging
from pathlib import Path
import sys
from typing import Any

from hbvla_ros.core.errors import HbvlaError
from hbvla_ros.core.share import robots_folder
from hbvla_ros.quantize.job import QuantizeJob
from tqdm import tqdm


def build_parser() -> argparse.ArgumentParser:
    """Return the parser: one option per field of the job."""
    parser = argparse.ArgumentParser(prog='hbvla_quantize', description=__doc__)
    for field in fields(QuantizeJob):
        several = isinstance(field.default, tuple)
        parser.add_argument(
            f'--{field.name.replace("_", "-")}',
            default=field.default,
            type=str if several else type(field.default),
            nargs='*' if several else None,
            required=field.name in ('checkpoint', 'output'),
            help=f'{field.metadata["description"]} (default: {field.default})',
        )
    parser.add_argument('--robots', type=Path, default=None, help='folder of robot files')
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the job and show its progress.

    :return: 0, or 1 after an error that was explained, 130 after Ctrl-C
    """
    logging.basicConfig(level=logging.WARNING, format='%(levelname)s %(message)s')
    arguments = vars(build_parser().parse_args(argv))
    robots = arguments.pop('robots') or robots_folder()
    values: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in arguments.items()
    }
    from hbvla_ros.quantize.pipeline import run_job  # imports torch: not needed for --help

    try:
        with tqdm(unit='step', disable=None) as bar:
            for step in run_job(QuantizeJob(**values), robots):
                bar.total = step.total
                bar.set_description(f'{step.stage}: {step.detail}')
                bar.update(step.done - bar.n)
    except HbvlaError as error:
        print(f'hbvla_quantize: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('hbvla_quantize: stopped; nothing was written', file=sys.stderr)
        return 130
    print(f'wrote {values["output"]}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
