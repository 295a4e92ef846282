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

"""``hbvla_eval``: success in closed loop of full precision and of every way to quantize it."""

import argparse
from collections.abc import Iterable, Sequence
import os
from pathlib import Path
import shlex
import signal
import sys
from typing import TYPE_CHECKING

from hbvla_ros.cli.evaluate_suite import add_suite_options, run_suite
from hbvla_ros.cli.evaluate_tables import policies_of, tables_of
from hbvla_ros.cli.options import robots_of
from hbvla_ros.core.errors import HbvlaError
from hbvla_ros.core.share import shipped_policy
from tqdm import tqdm

if TYPE_CHECKING:
    from hbvla_ros.evaluate.evaluation import Evaluation, EvaluationProgress

DEFAULT_METHODS = 'fp,rtn,billm,hbllm_row,hbvla,hbvla_plus,two_plane'
_DESCRIPTION = """
Run policies in the simulated ALOHA on the same seeds and compare their success. What is finished
is kept: the same command goes on where it was stopped.
"""
_EPILOG = """
A method may carry what differs from its defaults, choices of hbvla_quantize and settings of the
method alike: hbvla_plus:tune=block:planes=auto:plane_budget=1.25. Exit status: 0 done, 2 could not
run, 130 interrupted.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(prog='hbvla_eval', description=_DESCRIPTION, epilog=_EPILOG)
    add = parser.add_argument
    add(
        '--checkpoint',
        type=Path,
        help='folder of the full-precision policy (default: the one we ship, unless artifacts are '
        'named)',
    )
    add('--artifact', type=Path, nargs='*', default=[], help='folders of artifacts to score too')
    add('--task', default='aloha_pick', help='tasks, separated by commas (default: aloha_pick)')
    add('--methods', help=f'policies, separated by commas (default: {DEFAULT_METHODS})')
    add('--episodes', type=int, default=500, help='of every policy and task (default: 500)')
    add(
        '--seed',
        type=int,
        default=910_000,
        help='of the first episode (default: 910000; choose settings on those from 900000 on)',
    )
    add('--workers', type=int, default=0, help='processes (default: one per core)')
    add('--lockstep', type=int, default=4, help='episodes at a time in a process (default: 4)')
    add('--backend', default='dequant', choices=('dequant', 'packed'), help='of artifacts')
    add('--execute-steps', type=int, default=0, help='rows of a chunk that are followed, 0: all')
    add('--output', type=Path, required=True, help='folder of results, episodes and variants')
    add('--calibration', type=Path, help='recording; default: demonstrations in the simulator')
    add('--calibration-episodes', type=int, default=128, help='of those (default: 128)')
    add('--samples', type=int, default=256, help='observations to calibrate with (default: 256)')
    add('--components', action='store_true', help='also: each component alone and all together')
    add(
        '--ablation',
        nargs='?',
        const='hbvla_plus',
        metavar='METHOD',
        help='also: a method with one part changed at a time (default: hbvla_plus)',
    )
    add('--delays', action='store_true', help='also: every policy with inference delay')
    add('--robots', type=Path, default=None, help='folder of robot files')
    add_suite_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """
    Evaluate, show progress, write ``results.json`` and ``index.html``.

    :return: the exit status
    """
    words = sys.argv[1:] if argv is None else argv
    arguments = build_parser().parse_args(argv)
    # Being told to end is an interrupt: what is finished is kept, and no process stays behind.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if not (arguments.checkpoint or arguments.artifact or arguments.suite):
            arguments.checkpoint = shipped_policy()
        if arguments.suite:
            return run_suite(arguments, shlex.join(['hbvla_eval', *words]), DEFAULT_METHODS, _show)
        return _run(arguments, shlex.join(['hbvla_eval', *words]))
    except (HbvlaError, OSError) as error:
        print(f'hbvla_eval: {error}', file=sys.stderr)
        return 2
    finally:
        signal.signal(signal.SIGTERM, before)


def wanted_of(arguments: argparse.Namespace) -> 'Evaluation':
    """
    Return the evaluation that the options describe.

    :raises ConfigError: for an unknown task, method or setting, or if the simulator is absent
    """
    from hbvla_ros.evaluate.evaluation import Evaluation
    from hbvla_ros.evaluate.trials import Bench
    from hbvla_ros.evaluate.variant_store import VariantStore

    store = VariantStore(
        output=arguments.output,
        robots=robots_of(arguments),
        checkpoint=arguments.checkpoint,
        calibration=arguments.calibration,
        calibration_episodes=arguments.calibration_episodes,
        samples=arguments.samples,
    )
    policies = policies_of(arguments, DEFAULT_METHODS)
    return Evaluation(
        bench=Bench(store=store, lockstep=arguments.lockstep, backend=arguments.backend),
        tables=tables_of(arguments, policies, DEFAULT_METHODS),
        episodes=arguments.episodes,
        first_seed=arguments.seed,
        workers=arguments.workers or len(os.sched_getaffinity(0)),
    )


def _run(arguments: argparse.Namespace, command: str) -> int:
    from hbvla_ros.evaluate.evaluation import evaluate
    from hbvla_ros.evaluate.results import PAGE, write_results
    from hbvla_ros.evaluate.score_page import score_text

    wanted, status = wanted_of(arguments), 0
    steps = evaluate(wanted)
    try:
        _show(steps)
    except KeyboardInterrupt:
        status = 130
        print('hbvla_eval: stopped; the same command goes on from here', file=sys.stderr)
    finally:
        steps.close()
    print(score_text(write_results(wanted, command)))
    print(f'wrote {arguments.output / PAGE}')
    return status


def _show(steps: Iterable['EvaluationProgress']) -> None:
    plain, last = not sys.stderr.isatty(), ''
    with tqdm(disable=plain, dynamic_ncols=True, unit='episode') as bar:
        for step in steps:
            bar.total = step.total
            bar.set_description_str(step.text, refresh=False)
            bar.update(step.done - bar.n)
            if plain and step.text != last:
                print(f'{step.done}/{step.total} {step.text}', file=sys.stderr)
            last = step.text


if __name__ == '__main__':
    sys.exit(main())
