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

"""``hbvla_show``: print what a packed artifact holds."""

import argparse
from collections.abc import Sequence
from pathlib import Path
import sys

from hbvla_ros.artifact.manifest import Manifest
from hbvla_ros.artifact.store import load_artifact
from hbvla_ros.core.errors import HbvlaError
from hbvla_ros.quantize.report import manifest_facts
from hbvla_ros.quantize.report_text import facts_text


def main(argv: Sequence[str] | None = None) -> int:
    """
    Verify an artifact and print its facts.

    :return: 0, or 1 if it is damaged
    """
    parser = argparse.ArgumentParser(
        prog='hbvla_show',
        description='Verify a packed artifact and print what it holds.',
        epilog='Exit status: 0 whole, 1 damaged or none.',
    )
    parser.add_argument('artifact', type=Path, help='folder of the artifact')
    parser.add_argument('--json', action='store_true', help='print the manifest as JSON')
    arguments = parser.parse_args(argv)
    try:
        manifest = load_artifact(arguments.artifact).manifest
    except HbvlaError as error:
        print(f'hbvla_show: {error}', file=sys.stderr)
        return 1
    print(manifest.to_json() if arguments.json else describe(manifest))
    return 0


def describe(manifest: Manifest) -> str:
    """Return the manifest as lines for a terminal."""
    return facts_text(manifest_facts(manifest))


if __name__ == '__main__':
    sys.exit(main())
