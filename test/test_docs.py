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

"""The documentation says what the code does."""

import json
from pathlib import Path
import re
import shlex

from benchmarks import closed_loop_tables, full_size, kernels, layer
from benchmarks.quantization import tables
from benchmarks.robustness import core, dds
from benchmarks.robustness import tables as safety
from benchmarks.tables import fill
from hbvla_ros.bringup.graph import ARGUMENTS
from hbvla_ros.cli import quantize
import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted([*REPOSITORY.glob('*.md'), *REPOSITORY.glob('doc/**/*.md')])
METHOD = (REPOSITORY / 'doc' / 'method.md').read_text(encoding='utf-8')
README = (REPOSITORY / 'README.md').read_text(encoding='utf-8')
TESTS = '\n'.join(path.read_text(encoding='utf-8') for path in REPOSITORY.glob('test/**/*.py'))


def _commands(text: str) -> list[str]:
    blocks = re.findall(r'```bash\n(.*?)```', text, re.DOTALL)
    return [line for block in blocks for line in block.replace('\\\n', ' ').splitlines()]


@pytest.mark.parametrize('page', PAGES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_links_and_named_files_exist(page):
    text = page.read_text(encoding='utf-8')
    links = [link for link in re.findall(r'\]\(([^)#]+)', text) if '://' not in link]
    missing = [link for link in links if not (page.parent / link).exists()]
    places = re.findall(r'`((?:hbvla_ros|test|config|launch|scripts|doc)/[\w/.]+\.\w+)', text)
    missing += [p for p in places if 'foo' not in p and not (REPOSITORY / p).exists()]
    assert not missing


def test_every_function_and_test_of_the_paper_map_exists():
    for place in re.findall(r'`((?:binarize|calib|quantize)/[\w/]+\.py)(?:: (\w+))?`', METHOD):
        text = (REPOSITORY / 'hbvla_ros' / place[0]).read_text(encoding='utf-8')
        assert f'def {place[1]}(' in text if place[1] else text, place
    for name in re.findall(r'(test_\w+)`', METHOD):
        assert f'def {name}(' in TESTS, name
    for path in re.findall(r'`(test/[\w/]+\.py)', METHOD):
        assert (REPOSITORY / path).is_file(), path


def test_the_layers_of_the_architecture_page_are_those_that_are_checked():
    settings = (REPOSITORY / 'pyproject.toml').read_text(encoding='utf-8')
    lines = re.search(r'^layers = \[\n(.*?)^\]', settings, re.DOTALL | re.MULTILINE)[1]
    layers = [line.strip(" ',").replace('hbvla_ros.', '') for line in lines.splitlines()]
    page = (REPOSITORY / 'doc' / 'architecture.md').read_text(encoding='utf-8')
    block = next(b for b in re.findall(r'```\n(.*?)```', page, re.DOTALL) if 'binarize |' in b)
    assert [re.split(r'\s{2,}', line)[0] for line in block.splitlines()] == layers


def test_the_quantize_command_of_the_readme_is_accepted():
    (command,) = [line for line in _commands(README) if 'hbvla_quantize' in line]
    arguments = quantize.build_parser().parse_args(shlex.split(command)[4:])
    assert arguments.num_samples == 128


def test_the_launch_arguments_of_the_readme_exist():
    lines = [line for line in _commands(README) if 'ros2 launch' in line]
    lines += re.findall(r'ros2 launch[^`\n]*', README)
    assert len(lines) >= 4
    for line in lines:
        graph = re.search(r'(\w+)\.launch\.py', line)[1]
        known = {argument.name for argument in ARGUMENTS[graph]}
        assert set(re.findall(r'(\w+):=', line)) <= known, line


def test_the_page_of_robots_lists_every_file():
    page = (REPOSITORY / 'doc' / 'robots.md').read_text(encoding='utf-8')
    listed = re.findall(r'^\| `(\w+)` \| [^|]+ \| [^|]+ \| [^|]+ \|$', page, re.MULTILINE)
    assert sorted(listed) == sorted(f.stem for f in (REPOSITORY / 'config/robots').glob('*.yaml'))


def test_the_launch_page_lists_every_argument():
    told: dict[tuple[str, ...], list[str]] = {}
    for graph, one in ((g, one) for g, arguments in ARGUMENTS.items() for one in arguments):
        allowed = ', '.join(filter(None, one.choices))
        told.setdefault((one.name, one.default, allowed, one.description), []).append(graph)
    rows = [
        f'| {name} | {", ".join(graphs)} | {default} | {allowed} | {text} |'
        for (name, default, allowed, text), graphs in told.items()
    ]
    page = (REPOSITORY / 'doc' / 'launch.md').read_text(encoding='utf-8')
    head = '| argument | launch files | default | allowed | meaning |\n|---|---|---|---|---|'
    assert '\n'.join([head, *rows]) in page


@pytest.mark.parametrize('page', PAGES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_a_page_holds_no_machine_path(page):
    assert not re.search(r'/(work|root|home)/\w', page.read_text(encoding='utf-8'))


def test_the_tables_of_closed_loop_success_come_from_the_results_files():
    for page, made in closed_loop_tables.tables().items():
        text = Path(page).read_text(encoding='utf-8')
        assert fill(text, made) == text, page
    assert '| `hbvla_plus` |' in README


def test_the_tables_of_speed_come_from_the_results_files():
    rows = {
        name: json.loads((REPOSITORY / f'benchmarks/results/{name}.json').read_text())
        for name in ('kernels', 'layer', 'full_size')
    }
    made = {
        kernels.PAGE: kernels.tables(rows['kernels']) | layer.tables(rows['layer']),
        full_size.PAGE: full_size.tables(rows['full_size']),
        full_size.README: {'speed': full_size.short_table(rows['full_size'])},
    }
    for page, found in made.items():
        text = page.read_text(encoding='utf-8')
        assert fill(text, found) == text, page


def test_the_ratios_of_the_readme_come_from_the_results_file():
    rows = json.loads((REPOSITORY / 'benchmarks/results/kernels.json').read_text())

    def span(rival, digits):
        found = [
            row['ratio_with_prologue']
            for row in rows
            if row['shape'] in kernels.LLM
            and (row['kernel'], row['m'], row['threads']) == ('amx_int8', 605, 1)
            and row['rival'] == rival
        ]
        return f'{min(found):.{digits}f} to {max(found):.{digits}f} times as fast as'

    assert f'{span("torch bf16", 1)} torch in bfloat16' in README
    assert f"{span('ggml Q1_0', 0)} llama.cpp's one-bit format" in README


def test_the_table_of_real_matrices_comes_from_the_results_file():
    results = json.loads((REPOSITORY / 'benchmarks/results/matrices.json').read_text())
    for row in results['rows']:
        numbers = (
            f'{row["bits_sign"]:.3f} | {row["bits_stored"]:.3f} | {row["output_error"]:.4f} | '
            f'{row["policy_error"]:.4f} | {row["seconds"]:.1f}'
        )
        assert f'| {row["label"]} | {row["method"]} | {numbers} |' in METHOD


def test_the_tables_of_the_results_page_come_from_the_results_files():
    page = (REPOSITORY / 'doc' / 'results.md').read_text(encoding='utf-8')
    assert tables.fill(page, *tables.results()) == page
    assert page.count('| hbvla_plus |') >= 2


def test_the_tables_of_the_safety_page_come_from_the_results_files():
    page = safety.PAGE.read_text(encoding='utf-8')
    assert safety.made(page) == page
    assert page.count('| kept') >= 13
    assert '**not kept**' not in page


def test_every_test_that_the_fault_table_names_exists():
    page = safety.PAGE.read_text(encoding='utf-8')
    for name, fault in re.findall(r'`(test_\w+?)(?:\[(\w+)\])?`', page):
        assert f'def {name}(' in TESTS, name
        known = dds.FAULTS if 'dds' in name else core.FAULTS
        assert not fault or fault in known, fault
