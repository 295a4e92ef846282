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

"""The size limits and habits of the house; each failure names the place."""

import ast
from collections.abc import Iterator
from pathlib import Path
import subprocess
import sys

from catkin_pkg.changelog import get_changelog_from_path
from catkin_pkg.package import parse_package
import pytest

pytestmark = pytest.mark.linter
REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / 'hbvla_ros'
FILES = sorted(PACKAGE.rglob('*.py')) + sorted((REPOSITORY / 'launch').glob('*.py'))
ALL_CODE = FILES + sorted((REPOSITORY / 'test').rglob('*.py'))
NESTING = (ast.For, ast.While, ast.If, ast.With, ast.Try, ast.Match)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding='utf-8'))


def _functions(path: Path) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(_tree(path)) if isinstance(node, FUNCTIONS))


def _depth(node: ast.AST) -> int:
    deepest = 0
    for child in ast.iter_child_nodes(node):
        # `elif` is an If inside orelse: the same level to a reader
        chained = isinstance(node, ast.If) and isinstance(child, ast.If) and child in node.orelse
        deepest = max(deepest, _depth(child) + (isinstance(child, NESTING) and not chained))
    return deepest


@pytest.mark.parametrize('path', ALL_CODE, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_a_file_has_at_most_400_lines_and_the_licence(path):
    text = path.read_text(encoding='utf-8')
    assert len(text.splitlines()) <= 400
    assert text.startswith(
        '# Copyright 2026 The hbvla_ros Authors\n#\n# Licensed under the Apache'
    )


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_functions_are_short_and_flat(path):
    for function in _functions(path):
        place = f'{path}:{function.lineno} {function.name}'
        assert function.end_lineno - function.lineno + 1 <= 60, place
        assert _depth(function) <= 3, place


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_a_module_imports_at_most_ten_of_ours(path):
    ours = [
        node.module
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('hbvla_ros')
    ]
    assert len(set(ours)) <= 10, sorted(set(ours))


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_everything_public_has_a_docstring(path):
    tree = _tree(path)
    assert ast.get_docstring(tree)
    for node in ast.walk(tree):
        public = isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name[0] != '_'
        nested = any(
            node in ast.walk(outer) and node is not outer
            for outer in ast.walk(tree)
            if isinstance(outer, FUNCTIONS)
        )
        if public and not nested:
            owner_private = any(
                isinstance(outer, ast.ClassDef) and outer.name[0] == '_' and node in outer.body
                for outer in ast.walk(tree)
            )
            assert owner_private or ast.get_docstring(node), f'{path}:{node.lineno} {node.name}'


def test_the_median_function_is_short():
    lengths = sorted(f.end_lineno - f.lineno + 1 for path in FILES for f in _functions(path))
    assert lengths[len(lengths) // 2] <= 15


@pytest.mark.parametrize(
    ('module', 'forbidden'),
    [
        ('hbvla_ros.core.robot', 'torch'),
        ('hbvla_ros.core.latest', 'torch'),
        ('hbvla_ros.core.bag', 'torch'),
        ('hbvla_ros.core.robot', 'rclpy'),
        ('hbvla_ros.policy.executor', 'torch'),
        ('hbvla_ros.models.base', 'transformers'),
        ('hbvla_ros.binarize.method', 'transformers'),
        ('hbvla_ros.bringup.graph', 'rclpy'),
    ],
)
def test_importing_it_in_a_fresh_interpreter_does_not_load(module, forbidden):
    code = f'import sys, {module}; sys.exit({forbidden!r} in sys.modules)'
    assert (
        subprocess.run([sys.executable, '-c', code], cwd=REPOSITORY, check=False).returncode == 0
    )


def test_the_package_description_is_valid():
    parse_package(str(REPOSITORY / 'package.xml')).validate()


# catkin_pkg calls a docutils function that is on its way out.
@pytest.mark.filterwarnings('ignore:nodes.Node.traverse:DeprecationWarning')
def test_the_changelog_is_one_that_release_tools_read():
    changelog = get_changelog_from_path(str(REPOSITORY / 'CHANGELOG.rst'), 'hbvla_ros')
    assert [version for version, _, _ in changelog.foreach_version()]


def test_the_version_is_the_same_everywhere():
    version = parse_package(str(REPOSITORY / 'package.xml')).version
    assert f"version='{version}'" in (REPOSITORY / 'setup.py').read_text()
    assert f"__version__ = '{version}'" in (PACKAGE / '__init__.py').read_text()
