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
Products by llama.cpp's ggml, a rival of the kernels; used where somebody has built it.

``libggml-base`` and ``libggml-cpu`` are loaded with ctypes from a folder, as CMake leaves them
(``cmake -S ggml -B build -DBUILD_SHARED_LIBS=ON -DGGML_NATIVE=ON``). Signatures and type numbers
are those of ``ggml/include/ggml.h``.
"""

from collections.abc import Callable
import ctypes
from pathlib import Path
from weakref import finalize

import torch

TYPES = {'Q1_0': 41, 'TQ1_0': 34, 'IQ1_S': 19}
_FLOAT32 = 0
_ROWS = 32  # that are quantized and repeated where the quantizer searches: time does not depend
_MIB = 1 << 20


class _Parameters(ctypes.Structure):
    _fields_ = (
        ('mem_size', ctypes.c_size_t),
        ('mem_buffer', ctypes.c_void_p),
        ('no_alloc', ctypes.c_bool),
    )


class _Plan(ctypes.Structure):
    _fields_ = (
        ('work_size', ctypes.c_size_t),
        ('work_data', ctypes.c_void_p),
        ('n_threads', ctypes.c_int),
        ('threadpool', ctypes.c_void_p),
        ('abort_callback', ctypes.c_void_p),
        ('abort_callback_data', ctypes.c_void_p),
        ('use_ref', ctypes.c_bool),
    )


class Ggml:
    """The two libraries; tensors live as long as the function that computes with them."""

    def __init__(self, folder: Path) -> None:
        """
        Load the libraries.

        :param folder: holds them somewhere below
        :raises SystemExit: if one is missing or does not load
        """
        self._base, self._cpu = (
            _load(folder, name) for name in ('libggml-base.so', 'libggml-cpu.so')
        )
        pointer, size = ctypes.c_void_p, ctypes.c_int64
        for name, result, arguments in (
            ('ggml_version', ctypes.c_char_p, ()),
            ('ggml_init', pointer, (_Parameters,)),
            ('ggml_free', None, (pointer,)),
            ('ggml_new_tensor_2d', pointer, (pointer, ctypes.c_int, size, size)),
            ('ggml_mul_mat', pointer, (pointer, pointer, pointer)),
            ('ggml_new_graph', pointer, (pointer,)),
            ('ggml_build_forward_expand', None, (pointer, pointer)),
            ('ggml_get_data', pointer, (pointer,)),
            ('ggml_nbytes', ctypes.c_size_t, (pointer,)),
            ('ggml_quantize_chunk', ctypes.c_size_t,
             (ctypes.c_int, pointer, pointer, size, size, size, pointer)),
        ):  # fmt: skip
            function = getattr(self._base, name)
            function.restype, function.argtypes = result, arguments
        self._cpu.ggml_graph_plan.restype = _Plan
        self._cpu.ggml_graph_plan.argtypes = (pointer, ctypes.c_int, pointer)
        self._cpu.ggml_graph_compute.restype = ctypes.c_int
        self._cpu.ggml_graph_compute.argtypes = (pointer, ctypes.POINTER(_Plan))
        self._cpu.ggml_cpu_init()
        self.version = self._base.ggml_version().decode()

    def product(
        self, kind: str, x: torch.Tensor, dense: torch.Tensor
    ) -> Callable[[], torch.Tensor]:
        """
        Return a function that computes ``x W^T`` with quantized weights.

        :param kind: a name of ``TYPES``
        :param x: float32 ``[rows, in]``; ggml quantizes it in every call
        :param dense: float32 ``[out, in]``, widths that the type divides
        :return: gives float32 ``[rows, out]``, the same memory each time, until it goes itself;
            with as many threads as torch has now
        """
        (rows, width), out = x.shape, dense.shape[0]
        # Inputs and outputs, at most 4 bits per weight, and room for the graph.
        size = 4 * rows * (width + out) + out * width // 2 + 16 * _MIB
        context = self._base.ggml_init(_Parameters(mem_size=size, mem_buffer=None, no_alloc=False))
        weight = self._base.ggml_new_tensor_2d(context, TYPES[kind], width, out)
        self._quantize(kind, dense, weight)
        inputs = self._base.ggml_new_tensor_2d(context, _FLOAT32, width, rows)
        ctypes.memmove(self._base.ggml_get_data(inputs), x.contiguous().data_ptr(), x.nbytes)
        result = self._base.ggml_mul_mat(context, weight, inputs)
        graph = self._base.ggml_new_graph(context)
        self._base.ggml_build_forward_expand(graph, result)
        memory = (ctypes.c_float * (rows * out)).from_address(self._base.ggml_get_data(result))
        answer = torch.frombuffer(memory, dtype=torch.float32).view(rows, out)

        plan = self._cpu.ggml_graph_plan(graph, torch.get_num_threads(), None)
        work = torch.empty(plan.work_size, dtype=torch.uint8)  # of the inputs, quantized
        plan.work_data = work.data_ptr()

        def run() -> torch.Tensor:
            if self._cpu.ggml_graph_compute(graph, plan):
                raise RuntimeError(f'ggml failed on {kind}')
            return answer

        finalize(run, lambda _: self._base.ggml_free(context), work)  # both are needed till then
        return run

    def _quantize(self, kind: str, dense: torch.Tensor, weight: int) -> None:
        out, width = dense.shape
        few = dense[: _ROWS if kind == 'IQ1_S' else out].contiguous()
        importance = torch.ones(width)
        data, size = self._base.ggml_get_data(weight), self._base.ggml_nbytes(weight)
        done = self._base.ggml_quantize_chunk(
            TYPES[kind], few.data_ptr(), data, 0, len(few), width, importance.data_ptr()
        )
        while done < size:  # the rest repeats what is there
            part = min(done, size - done)
            ctypes.memmove(data + done, data, part)
            done += part


def _load(folder: Path, name: str) -> ctypes.CDLL:
    files = sorted(folder.rglob(name))
    if not files:
        raise SystemExit(f'--ggml: no {name} in {folder}; build ggml with BUILD_SHARED_LIBS=ON')
    try:
        return ctypes.CDLL(str(files[0]), mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise SystemExit(f'--ggml: {files[0]} does not load: {error}') from error


def check(ggml: Ggml) -> None:
    """
    Compare a product of one-bit weights, which Q1_0 and TQ1_0 store exactly, with torch.

    :raises SystemExit: if they differ by more than int8 activations explain
    """
    g = torch.Generator().manual_seed(0)
    dense = torch.randn(48, 512, generator=g).sign() * 0.25  # a power of two: exact in half
    x = torch.randn(5, 512, generator=g)
    wanted = x @ dense.T
    for kind in ('Q1_0', 'TQ1_0'):
        run = ggml.product(kind, x, dense)
        error = float((run() - wanted).norm() / wanted.norm())
        if not error < 0.02:
            raise SystemExit(f'--ggml: {kind} is off by {error:.3f}; another version?')
