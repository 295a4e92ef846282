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
import json
from pathlib import Path
import sys

from hbvla_ros.artifact.manifest import Manifest
from hbvla_ros.artifact.store import load_artifact
from hbvla_ros.core.errors import HbvlaError


def main(argv: Sequence[str] | None = None) -> int:
    """
    Verify an artifact and print its facts.

    :return: 0, or 1 if it is damaged
    """
    parser = argparse.ArgumentParser(prog='hbvla_show', description=__doc__)
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
    totals, facts = manifest.totals, manifest.facts
    lines = [
        f'{manifest.model} ({facts["preset"]}), {manifest.job["method"]}: '
        f'{json.dumps(manifest.job["config"])}',
        f'actions {facts["chunk_size"]} x {facts["action_dim"]} every {facts["period_s"]} s, '
        f'{facts["num_images"]} images, statistics {facts["unnorm_key"]}',
        f'{totals["quantized_weights"]:,} weights at {totals["bits_sign"]:.3f} sign bits, '
        f'{totals["bits_stored"]:.3f} stored bits = {totals["packed_bytes"]:,} bytes; '
        f'{totals["kept_bytes"]:,} bytes kept at full precision',
        f'{"layer":60} {"shape":>12} {"sign":>6} {"stored":>6} {"error":>7} {"policy":>7}',
    ]
    for name, layer in manifest.layers.items():
        shape = 'x'.join(map(str, layer.shape))
        lines.append(
            f'{name:60} {shape:>12} {layer.bits_sign:6.3f} {layer.bits_stored:6.3f} '
            f'{layer.output_error:7.4f} {layer.policy_error:7.4f}'
        )
    lines += [f'{name:60} kept: {reason}' for name, reason in manifest.skipped.items()]
    return '\n'.join(lines)


if __name__ == '__main__':
    sys.exit(main())
