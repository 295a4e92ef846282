// Copyright 2026 The hbvla_ros Authors
//
// Licensed under the Apache License, Version 2.0 (the "License");
// you may not use this file except in compliance with the License.
// You may obtain a copy of the License at
//
//     http://www.apache.org/licenses/LICENSE-2.0
//
// Unless required by applicable law or agreed to in writing, software
// distributed under the License is distributed on an "AS IS" BASIS,
// WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
// See the License for the specific language governing permissions and
// limitations under the License.

// Runs every path that this processor has over awkward shapes and compares: exact paths with
// float64, int8 paths with the portable one bit by bit. For sanitizers and emulators, where Python
// is out of reach. Arrays are allocated to their exact size, so that a sanitizer sees every step
// beyond them.

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "hbvla_cpu.h"

namespace {

std::mt19937 draw(7);

float real() { return std::normal_distribution<float>()(draw); }

struct Buffer {  // 64-byte aligned, exact size
  explicit Buffer(size_t bytes) : data(nullptr) {
    if (posix_memalign(&data, 64, bytes)) abort();
  }
  ~Buffer() { free(data); }
  void* data;
};

struct Case {
  int64_t out, in, plain, salient, rows;
  std::vector<int32_t> sources;
  std::vector<uint64_t> bits;
  std::vector<int8_t> levels;
  std::vector<float> scale, x;
  std::vector<int32_t> sums;
  int64_t width() const { return plain + 2 * salient; }
};

int64_t up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

Case make(int64_t out, int64_t in, int64_t salient_count, int64_t rows) {
  Case c{out, in, up(in - salient_count, 128), up(salient_count, 128), rows, {}, {}, {}, {}, {}, {}};
  c.sources.assign(c.plain + c.salient, -1);
  for (int64_t i = 0; i < in; ++i)  // turned round
    c.sources[i < in - salient_count ? i : c.plain + i - (in - salient_count)] = in - 1 - i;
  const int64_t blocks = up(out, 16) / 16;
  c.bits.resize(blocks * c.width() / 4);
  for (auto& word : c.bits) word = uint64_t{draw()} << 32 | draw();
  c.levels.resize(blocks * c.width() / 128 * 32);
  for (auto& level : c.levels) level = static_cast<int8_t>(static_cast<int>(draw() % 255) - 127);
  c.scale.resize(out * ((c.plain > 0) + (c.salient > 0)));
  for (auto& each : c.scale) each = 0.01f * std::fabs(real());
  c.x.resize(rows * in);
  for (auto& each : c.x) each = real();
  return c;
}

hb_weight weight_of(const Case& c) {
  return {c.out, c.plain, c.salient, c.bits.data(), c.levels.data(), c.scale.data(),
          c.sums.empty() ? nullptr : c.sums.data()};
}

double exact(const Case& c, int64_t row, int64_t n) {
  double sum = 0;
  for (int64_t k = 0; k < c.width(); ++k) {
    const bool salient = k >= c.plain;
    const int32_t source = c.sources[k < c.plain + c.salient ? k : k - c.salient];
    if (source < 0) continue;
    const int64_t block = n / 16, j = n % 16;
    const int set = c.bits[(block * c.width() + k) / 4] >> (4 * j + k % 4) & 1;
    const int level = c.levels[(block * c.width() + k) / 128 * 32 + set * 16 + j];
    const double scale = c.scale[(salient && c.plain ? c.out : 0) + n];
    sum += static_cast<double>(c.x[row * c.in + source]) * level * scale;
  }
  return sum;
}

std::vector<float> run(const Case& c, int path, int threads, const hb_norm* norm = nullptr) {
  const hb_columns columns{c.in, c.plain, c.salient, c.sources.data(), 0, 0};
  Buffer prepared(hb_prepared_bytes(path, c.rows, c.plain, c.salient));
  std::vector<float> y(c.rows * c.out);
  const hb_output output{y.data(), c.out, HB_FLOAT32, nullptr, 0};
  const hb_weight weight = weight_of(c);
  std::vector<float> x = c.x;
  const int first = hb_prepare(path, &columns, x.data(), c.rows, c.in, HB_FLOAT32, norm,
                               prepared.data, threads);
  const int second = hb_multiply(path, &weight, prepared.data, c.rows, &output, threads);
  if (first || second) {
    printf("path %d: status %d, %d\n", path, first, second);
    exit(1);
  }
  return y;
}

// A norm on the way in gives what it gives apart, to the bit.
void check_norm(const Case& c, int path) {
  std::vector<float> weight(c.in, 0.5f), add(c.rows * c.in, 0.25f), out(c.rows * c.in);
  const hb_norm norm{weight.data(), add.data(), 1e-6f};
  Case apart = c;
  const int status = hb_normalize(apart.x.data(), &norm, out.data(), c.rows, c.in, HB_FLOAT32, 1);
  apart.x = out;
  if (status || run(c, path, 2, &norm) != run(apart, path, 1)) {
    printf("path %d: a norm on the way in differs\n", path);
    exit(1);
  }
}

// A product on top of ones is one more than the product, to the bit.
void check_sum(const Case& c, int path) {
  const hb_columns columns{c.in, c.plain, c.salient, c.sources.data(), 0, 0};
  Buffer prepared(hb_prepared_bytes(path, c.rows, c.plain, c.salient));
  std::vector<float> x = c.x, y(c.rows * c.out, 1.0f);
  const std::vector<float> once = run(c, path, 1);
  const hb_weight weight = weight_of(c);
  const hb_output output{y.data(), c.out, HB_FLOAT32, nullptr, 1};
  hb_prepare(path, &columns, x.data(), c.rows, c.in, HB_FLOAT32, nullptr, prepared.data, 1);
  hb_multiply(path, &weight, prepared.data, c.rows, &output, 2);
  for (size_t i = 0; i < y.size(); ++i)
    if (y[i] != 1.0f + once[i]) {
      printf("path %d: a sum differs\n", path);
      exit(1);
    }
}

void check(const Case& c, int path, const std::vector<float>& want) {
  const bool int8 = path >= HB_PORTABLE_INT8;
  const bool rounds = path == HB_AMX_BF16;
  const std::vector<float> y = run(c, path, 2);
  double worst = 0, largest = 0;
  for (int64_t m = 0; m < c.rows; ++m)
    for (int64_t n = 0; n < c.out; ++n) {
      const double wanted = int8 ? want[m * c.out + n] : exact(c, m, n);
      worst = std::fmax(worst, std::fabs(y[m * c.out + n] - wanted));
      largest = std::fmax(largest, std::fabs(wanted));
    }
  const double bound = int8 ? 0 : (rounds ? 1e-2 : 1e-5) * largest;
  if (!(worst <= bound) || y != run(c, path, 1)) {
    printf("path %d, %ld x %ld, %ld salient, %ld rows: off by %g\n", path, long(c.out), long(c.in),
           long(c.salient), long(c.rows), worst);
    exit(1);
  }
}

}  // namespace

bool near(float found, double want) { return std::fabs(found - want) <= 1e-5 * (1 + std::fabs(want)); }

// What lies between products, on arrays of exact size; widths that no vector divides.
bool between(int64_t rows, int64_t heads, int64_t width, int threads) {
  const int64_t all = rows * heads * width;
  std::vector<float> x(all), add(all), weight(heads * width), out(all), cosines(rows * width),
      sines(rows * width);
  for (auto* values : {&x, &add, &weight, &cosines, &sines})
    for (float& value : *values) value = real();
  const std::vector<float> before = x;
  const hb_norm norm{weight.data(), add.data(), 1e-6f};
  if (hb_normalize(x.data(), &norm, out.data(), rows, heads * width, HB_FLOAT32, threads))
    return false;
  bool good = true;
  for (int64_t row = 0; row < rows; ++row) {
    double squares = 0;
    const int64_t first = row * heads * width;
    for (int64_t i = 0; i < heads * width; ++i)
      squares += std::pow(double{before[first + i]} + add[first + i], 2);
    const double scale = 1 / std::sqrt(squares / (heads * width) + 1e-6);
    for (int64_t i = 0; i < heads * width; ++i)
      good &= near(out[first + i],
                   weight[i] * scale * (double{before[first + i]} + add[first + i]));
  }
  std::vector<float> gate = before;
  if (hb_gate(gate.data(), add.data(), rows, heads * width, HB_FLOAT32, threads)) return false;
  for (int64_t i = 0; i < all; ++i)
    good &= near(gate[i], before[i] / (1 + std::exp(-double{before[i]})) * add[i]);
  std::vector<float> turned = before;
  if (hb_rotate(turned.data(), cosines.data(), sines.data(), rows, heads, width, HB_FLOAT32,
                threads))
    return false;
  for (int64_t i = 0; i < all; ++i) {
    const int64_t row = i / (heads * width), at = i % width, half = width / 2;
    const bool low = at < half;
    const double other = before[low ? i + half : i - half];
    good &= near(turned[i], double{before[i]} * cosines[row * width + at] +
                                (low ? -other : other) * sines[row * width + at]);
  }
  std::vector<uint16_t> halves(all), more(all), result(all);
  for (int64_t i = 0; i < all; ++i) memcpy(&halves[i], reinterpret_cast<char*>(&add[i]) + 2, 2);
  more = halves;
  const hb_norm bare{more.data(), nullptr, 1e-6f};
  return good && !hb_gate(halves.data(), more.data(), rows, heads * width, HB_BFLOAT16, threads) &&
         !hb_normalize(halves.data(), &bare, result.data(), rows, heads * width, HB_BFLOAT16,
                       threads) &&
         hb_rotate(halves.data(), more.data(), more.data(), rows, heads, 3, HB_BFLOAT16, 1) ==
             HB_SHAPE;
}

int main() {
  for (int threads : {1, 3})
    if (!between(1, 1, 2, threads) || !between(19, 3, 50, threads) || !between(9, 2, 128, threads)) {
      printf("what lies between products differs\n");
      return 1;
    }
  const int64_t shapes[][4] = {{16, 128, 0, 1},  {7, 80, 0, 3},     {40, 336, 20, 17},
                               {33, 300, 299, 35}, {50, 1160, 330, 6}, {24, 700, 0, 13}};
  int paths = 0;
  for (const auto& shape : shapes) {
    Case c = make(shape[0], shape[1], shape[2], shape[3]);
    c.sums.resize((c.plain + 511) / 512 * up(c.out, 16) + (2 * c.salient + 511) / 512 * up(c.out, 16));
    const hb_weight weight = weight_of(c);
    if (hb_chunk_sums(&weight, c.sums.data())) return 1;
    const std::vector<float> want = run(c, HB_PORTABLE_INT8, 1);
    for (int path = paths = 0; path < HB_PATHS; ++path)
      if (hb_paths() >> path & 1) {
        check(c, path, want);
        check_norm(c, path);
        check_sum(c, path);
        ++paths;
      }
  }
  printf("%d paths conform\n", paths);
  return 0;
}
