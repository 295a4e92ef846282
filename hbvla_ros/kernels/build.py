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

"""
Compile the native library with the C++ compiler of this computer; needs nothing but Python.

``setup.py`` calls it, and so does ``build_kernels``. Every instruction set is a file with flags of
its own, chosen among at run time: a library that was built on one computer runs on any other of
its kind.
"""

import argparse
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
import hashlib
import os
from pathlib import Path
import platform
import shutil
import subprocess
from tempfile import TemporaryDirectory

SOURCES = Path(__file__).resolve().parent / 'csrc'
LIBRARY = '_cpu.so'
COMMON = (
    '-std=c++17', '-O3', '-fPIC', '-fvisibility=hidden', '-fno-math-errno', '-fno-trapping-math',
    '-Wall', '-Wextra', '-Wno-maybe-uninitialized', '-Wno-uninitialized', '-pthread',
)  # fmt: skip
_AVX512 = ('-mavx512f', '-mavx512bw', '-mavx512vl', '-mavx512dq', '-mbmi2', '-mfma')
_ANYWHERE: dict[str, tuple[str, ...]] = dict.fromkeys(
    ('api', 'isa', 'pointwise', 'pool', 'portable'), ()
)
_FLAGS: dict[str, dict[str, tuple[str, ...]]] = {
    'x86_64': {
        'avx2': ('-mavx2', '-mfma', '-mbmi2'),
        'avx512': (*_AVX512, '-mprefer-vector-width=512'),
        'lut': (*_AVX512, '-mavx512vbmi'),
        'vnni': (*_AVX512, '-mavx512vnni'),
        'tiles_prologue': (*_AVX512, '-mavx512bf16'),
        'amx': (*_AVX512, '-mavx512bf16', '-mamx-tile', '-mamx-int8', '-mamx-bf16'),
    },
    'aarch64': {'neon': ('-march=armv8.2-a+dotprod',)},
}


def sources_digest() -> str:
    """Return what tells these sources from others: 16 hexadecimal digits."""
    files = sorted(SOURCES.iterdir())
    content = b''.join(file.name.encode() + file.read_bytes() for file in files)
    return hashlib.sha256(content).hexdigest()[:16]


class BuildError(Exception):
    """The compiler is missing or refused; the message says what it wrote."""


def build_library(
    target: Path,
    *,
    compiler: Sequence[str] = (),
    machine: str = '',
    extra: Sequence[str] = (),
) -> Path:
    """
    Compile and link the library.

    :param target: the file to write
    :param compiler: its command; default: CXX of the environment, or c++
    :param machine: as ``uname -m`` names it; default: this one. Others get the portable files
    :param extra: flags for compiling and linking, for instance of a sanitizer
    :return: ``target``
    :raises BuildError: with what the compiler wrote
    """
    command = list(compiler) or os.environ.get('CXX', 'c++').split()
    if shutil.which(command[0]) is None:
        raise BuildError(f'no C++ compiler {command[0]}; install g++ (sudo apt-get install g++)')
    flags = _ANYWHERE | _FLAGS.get(machine or platform.machine(), {})
    digest = f'-DHB_SOURCES="{sources_digest()}"'
    with TemporaryDirectory(prefix='hbvla-kernels-') as name:

        def compile_one(source: str) -> str:
            built = str(Path(name) / f'{source}.o')
            own = [*COMMON, *extra, *flags[source], digest]
            _run([*command, *own, '-c', str(SOURCES / f'{source}.cpp'), '-o', built])
            return built

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(compile_one, flags))
        made = Path(name) / LIBRARY
        _run([*command, '-shared', '-pthread', *extra, *objects, '-o', str(made)])
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(f'{target.name}.{os.getpid()}')
        shutil.copy(made, fresh)  # renamed: a process that has the old one mapped keeps it
        fresh.replace(target)
    return target


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f'{" ".join(command)}\n{done.stderr.strip()}')
    if done.stderr:
        print(done.stderr.strip())  # noqa: T201


def main() -> None:
    """Build the library beside this file, or elsewhere."""
    parser = argparse.ArgumentParser(description='Compile the native kernels.')
    parser.add_argument('--output', type=Path, default=Path(__file__).with_name(LIBRARY))
    print(build_library(parser.parse_args().output))  # noqa: T201


if __name__ == '__main__':
    main()
