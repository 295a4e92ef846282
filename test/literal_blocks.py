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
The public baselines once more: literal, slow, in loops over single numbers.

Written from the description of the methods alone and sharing no code with the package; tests
compare the two. Matrices are lists of rows.
"""

import math
import statistics

import numpy as np
import torch

ROOT, HALF_ROOT = 0.70710677, 0.70703125


def sign(x: float) -> float:
    return (x > 0) - (x < 0)


def resid(row, order, rms=False, mean=None):
    """Binarize a list of numbers ``order`` times; nothing gives nothing."""
    out = [0.0] * len(row)
    for _ in range(order if row else 0):
        left = [x - o for x, o in zip(row, out, strict=True)]
        mu = statistics.fmean(left) if mean is None else mean
        if rms:
            scale = math.sqrt(statistics.fmean((x - mu) ** 2 for x in left))
        else:
            scale = statistics.fmean(abs(x - mu) for x in left)
        out = [o + scale * sign(x - mu) + mu for x, o in zip(left, out, strict=True)]
    return out


def masked(row, keep, order, rms=False, mean=None):
    """Binarize the entries for which ``keep`` holds; the others become 0."""
    coded = iter(resid([x for x, k in zip(row, keep, strict=True) if k], order, rms, mean))
    return [next(coded) if k else 0.0 for k in keep]


def add(*rows):
    return [sum(values) for values in zip(*rows, strict=True)]


def square_error(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def single(row):
    """Round to single precision, in which the public code compares entries with borders."""
    return [float(np.float32(x)) for x in row]


def quantiles(values, count):
    # Torch's own, as in the public code: where a rank is whole, its rounding takes sides.
    shares = torch.linspace(0.1, 0.9, count)
    return torch.quantile(torch.tensor(values), shares).tolist()


def salient_of(score, power):
    """Return for each column whether it is salient."""
    columns = range(len(score[0]))
    norm = [sum(abs(row[j]) ** power for row in score) for j in columns]
    order = sorted(columns, key=lambda j: -norm[j])
    best, salient = math.inf, []
    for count in range(1, min(50, len(order))):
        chosen = [j in order[:count] for j in columns]
        others = [not c for c in chosen]
        error = sum(
            square_error(row, add(masked(row, chosen, 2), masked(row, others, 2))) for row in score
        )
        if error < best:
            best, salient = error, chosen
    return salient


def scores(block, pivots):
    return [single((w / u) ** 2 for w, u in zip(row, pivots, strict=True)) for row in block]


def billm(block, pivots):
    score = scores(block, pivots)
    salient = salient_of(score, 1)
    sizes = [0.0 if s else abs(x) for row in score for x, s in zip(row, salient, strict=True)]
    best, border = math.inf, None
    for v in quantiles(sizes, 81):
        error = sum(square_error(row, _three(row, row, salient, v)) for row in score)
        if error < best:
            best, border = error, v
    pairs = zip(block, score, strict=True)
    return [_three(row, measure, salient, border) for row, measure in pairs]


def _three(row, measure, salient, border):
    both = list(zip(measure, salient, strict=True))
    small = [not s and abs(x) < border for x, s in both]
    large = [not s and abs(x) >= border for x, s in both]
    return add(masked(row, small, 1), masked(row, large, 1), masked(row, salient, 2))


def band(row, share_mean):
    """Code one row of a band in two magnitude groups."""
    row = single(row)
    mean = statistics.fmean(row) if share_mean else None
    best, coded = math.inf, None
    for v in quantiles([abs(x) for x in row], 41):
        small = [abs(x) < v for x in row]
        large = [not s for s in small]
        attempt = add(masked(row, small, 1, True, mean), masked(row, large, 1, True, mean))
        if square_error(row, attempt) < best:
            best, coded = square_error(row, attempt), attempt
    return coded


def haar_pair(first, second, share_mean):
    """Code the sums and the differences of two lists and go back."""
    pairs = list(zip(first, second, strict=True))
    low = band([(a + b) * ROOT for a, b in pairs], share_mean)
    high = band([(a - b) * ROOT for a, b in pairs], share_mean)
    both = list(zip(low, high, strict=True))
    return [(a + b) * HALF_ROOT for a, b in both], [(a - b) * HALF_ROOT for a, b in both]


def haar_columns(row, share_mean):
    even, odd = haar_pair(row[::2], row[1::2], share_mean)
    return [x for pair in zip(even, odd, strict=True) for x in pair]


def haar_rows(block, share_mean):
    pairs = zip(block[::2], block[1::2], strict=True)
    return [row for a, b in pairs for row in haar_pair(a, b, share_mean)]


def fill(row, salient):
    out = list(row)
    for j in range(len(row)):
        near = [k for k in range(max(0, j - 3), min(len(row), j + 4)) if not salient[k]]
        left = [k for k in range(j) if not salient[k]]
        if salient[j]:
            near = near or left[-1:] or [salient.index(False)]
            out[j] = statistics.fmean(row[k] for k in near)
    return out


def hbllm(block, pivots, axis, share_mean=True):
    salient = salient_of(scores(block, pivots), 2)
    some = [j for j, s in enumerate(salient) if s]
    others = [j for j, s in enumerate(salient) if not s]
    if axis == 'row':
        base = [haar_columns(fill(row, salient), share_mean) for row in block]
    else:
        coded = haar_rows([[row[j] for j in others] for row in block], share_mean)
        base = [[0.0] * len(salient) for _ in block]
        for out, row in zip(base, coded, strict=True):
            for j, x in zip(others, row, strict=True):
                out[j] = x
    left = [[row[j] - b[j] for j in some] for row, b in zip(block, base, strict=True)]
    for out, row in zip(base, haar_rows(left, False), strict=True):
        for j, x in zip(some, row, strict=True):
            out[j] += x
    return base


def quantize(weight, hessian, code, width=128):
    """Run ``code`` block after block; each column passes its error on as in the public code."""
    damped = hessian + 0.01 * hessian.diagonal().mean() * np.eye(len(hessian))
    factor = np.linalg.cholesky(np.linalg.inv(damped)).T  # H^-1 = U^T U
    rest = np.array(weight, np.float64)
    for start in range(0, rest.shape[1], width):
        stop = min(start + width, rest.shape[1])
        pivots = factor.diagonal()[start:stop].tolist()
        coded = np.array(code(rest[:, start:stop].tolist(), pivots))
        for j in range(start, stop):
            error = (rest[:, j] - coded[:, j - start]) / factor[j, j]
            for later in range(stop, rest.shape[1]):
                rest[:, later] -= error * factor[j, later]
        rest[:, start:stop] = coded
    return rest
