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

"""The native sources under sanitizers, for ARM in an emulator, and without a compiler."""

import os
from pathlib import Path
import shutil
import subprocess

from hbvla_ros.kernels import native
from hbvla_ros.kernels.build import build_library, BuildError, SOURCES
import pytest

DRIVER = Path(__file__).with_name('conformance.cpp')
ARM = 'aarch64-linux-gnu-g++'


def _conformance(folder: Path, compiler: str, machine: str, flags: list[str]) -> Path:
    library = build_library(
        folder / '_cpu.so', compiler=[compiler], machine=machine, extra=[*flags, '-O1']
    )
    program = folder / 'conformance'
    command = [compiler, '-std=c++17', '-O1', *flags, f'-I{SOURCES}', DRIVER, library]
    subprocess.run([*command, f'-Wl,-rpath,{folder}', '-o', program], check=True)
    return program


@pytest.mark.slow
@pytest.mark.timeout(600)  # it compiles everything
def test_no_path_touches_memory_that_is_not_its_own(tmp_path):
    flags = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all']
    probe = subprocess.run(
        ['c++', *flags, '-xc++', '-', '-o', tmp_path / 'probe'],
        input='int main() { return 0; }',
        text=True,
        capture_output=True,
        check=False,
    )
    if probe.returncode:
        pytest.skip(f'no sanitizer runtime: {probe.stderr.strip()[:200]}')
    program = _conformance(tmp_path, 'c++', '', flags)
    # Workers outlive main, with the memory that they keep.
    environment = {**os.environ, 'ASAN_OPTIONS': 'detect_leaks=0'}
    done = subprocess.run([program], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'paths conform' in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)  # it compiles everything
def test_the_arm_paths_conform_in_an_emulator(tmp_path):
    missing = [name for name in (ARM, 'qemu-aarch64-static') if shutil.which(name) is None]
    if missing:
        pytest.skip(f'no {", ".join(missing)}: apt-get install g++-aarch64-linux-gnu '
                    'qemu-user-static')  # fmt: skip
    program = _conformance(tmp_path, ARM, 'aarch64', [])
    done = subprocess.run(
        ['qemu-aarch64-static', '-L', '/usr/aarch64-linux-gnu', program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '3 paths conform' in done.stdout  # portable, portable_int8, neon


def test_a_missing_compiler_is_named_with_the_way_out(tmp_path):
    with pytest.raises(BuildError, match='no C\\+\\+ compiler nothing; install g\\+\\+'):
        build_library(tmp_path / 'x.so', compiler=['nothing'])


def test_without_a_library_the_log_says_how_to_build_it(monkeypatch, caplog):
    monkeypatch.setattr(native, '_candidates', lambda: iter(()))
    native.library.cache_clear()
    try:
        assert native.library() is None
        assert 'python3 -m hbvla_ros.kernels.build' in caplog.text
    finally:
        native.library.cache_clear()
