#pragma once
// Random quantised matrices in every neutral form, with their values: the oracle of tests of products.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "backend/backend.h"

namespace tessera {

using Scale = QuantLayout::Scale;

struct Form {
  std::string name;
  QuantLayout layout;
};

inline std::vector<Form> forms() {
  return {
      {"q8_0", {.bits = 8, .group = 32, .zero = 128}},
      {"q4_0", {.bits = 4, .group = 32, .zero = 8}},
      {"q4_1", {.bits = 4, .group = 32, .has_min = true}},
      {"q5_0", {.bits = 5, .group = 32, .zero = 16}},
      {"q5_1", {.bits = 5, .group = 32, .has_min = true}},
      {"q4_k", {.bits = 4, .group = 32, .scale = Scale::kSuper, .has_min = true}},
      {"q5_k", {.bits = 5, .group = 32, .scale = Scale::kSuper, .has_min = true}},
      {"q6_k", {.bits = 6, .group = 16, .zero = 32, .scale = Scale::kSuper}},
      {"iq4_nl", {.bits = 4, .group = 32, .table = true}},
      {"mlx8", {.bits = 8, .group = 64, .scale = Scale::kBF16, .has_min = true}},
      {"mlx4", {.bits = 4, .group = 128, .scale = Scale::kBF16, .has_min = true}},
      {"mlx6_f32", {.bits = 6, .group = 32, .scale = Scale::kF32, .has_min = true}},
      {"mlx5_f16", {.bits = 5, .group = 64, .scale = Scale::kF16, .has_min = true}},
  };
}

// A random matrix in neutral form, and its values.
struct QuantMatrix {
  QuantMatrix(const QuantLayout& l, int64_t row_count, int64_t col_count, uint32_t seed)
      : layout(l), rows(row_count), cols(col_count), value(static_cast<size_t>(rows * cols)) {
    std::mt19937 random(seed);
    const int64_t groups = cols / l.group, supers = cols / kSuperBlock;
    const auto below = [&](int n) { return static_cast<int>(random() % static_cast<uint32_t>(n)); };
    const auto small = [&] { return 0.001F + 0.0001F * static_cast<float>(below(100)); };
    for (int64_t i = 0; i < rows * cols; ++i) codes.push_back(static_cast<uint8_t>(below(1 << l.bits)));
    for (int64_t i = 0; i < rows * groups; ++i) {
      sub.push_back(static_cast<int8_t>(l.has_min ? below(64) : below(255) - 127));
      sub_min.push_back(static_cast<uint8_t>(below(64)));
      // bfloat16 and float16 bits of values that both hold: 8 significant bits, exponents in range
      scale.push_back(bf16_to_f32(f32_to_bf16(small() * (below(2) != 0 ? 1.0F : -1.0F))));
      min.push_back(bf16_to_f32(f32_to_bf16(-small() * static_cast<float>(1 << (l.bits - 1)))));
    }
    for (int64_t i = 0; i < rows * supers; ++i) {
      super.push_back(static_cast<uint16_t>(0x1000 + below(0x400)));  // float16, about 2^-11
      super_min.push_back(static_cast<uint16_t>(0x1400 + below(0x400)));
    }
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t k = 0; k < cols; ++k) {
        const auto g = static_cast<size_t>(r * groups + k / l.group);
        const int code = codes[static_cast<size_t>(r * cols + k)];
        const int v = l.table ? kIq4Values[code] : code - l.zero;
        float d = scale[g], m = l.has_min ? min[g] : 0;
        if (l.scale == Scale::kSuper) {
          const auto s = static_cast<size_t>(r * supers + k / kSuperBlock);
          d = f16_to_f32(super[s]) * sub[g];
          m = l.has_min ? -f16_to_f32(super_min[s]) * sub_min[g] : 0;
        }
        value[static_cast<size_t>(r * cols + k)] = d * static_cast<float>(v) + m;
      }
  }

  static uint16_t half(float f) {  // exact for these values
    uint32_t u;
    std::memcpy(&u, &f, 4);
    return static_cast<uint16_t>((u >> 16 & 0x8000U) | (((u >> 23 & 255U) - 112U) << 10) |
                                 (u >> 13 & 0x3ffU));
  }

  void put(const std::vector<float>& from, int64_t row, void* to) const {
    const int64_t groups = cols / layout.group;
    for (int64_t g = 0; g < groups; ++g) {
      const float f = from[static_cast<size_t>(row * groups + g)];
      if (layout.scale == Scale::kF32) static_cast<float*>(to)[g] = f;
      if (layout.scale == Scale::kF16) static_cast<uint16_t*>(to)[g] = half(f);
      if (layout.scale == Scale::kBF16) static_cast<uint16_t*>(to)[g] = f32_to_bf16(f);
    }
  }

  WeightPart part() const {
    return {.rows = rows,
            .stored = DType::kF32,
            .read = [this](int64_t first, int64_t count,
                           float* out) { std::copy_n(value.data() + first * cols, count * cols, out); },
            .quant = layout,
            .read_quant =
                [this](int64_t r, const QuantRow& out) {
                  const int64_t groups = cols / layout.group, supers = cols / kSuperBlock;
                  std::copy_n(codes.data() + r * cols, cols, out.codes);
                  if (layout.scale == Scale::kSuper) {
                    std::copy_n(sub.data() + r * groups, groups, static_cast<int8_t*>(out.scales));
                    std::copy_n(super.data() + r * supers, supers, out.super_scales);
                    if (!layout.has_min) return;
                    std::copy_n(sub_min.data() + r * groups, groups, static_cast<uint8_t*>(out.mins));
                    std::copy_n(super_min.data() + r * supers, supers, out.super_mins);
                    return;
                  }
                  put(scale, r, out.scales);
                  if (layout.has_min) put(min, r, out.mins);
                }};
  }

  QuantLayout layout;
  int64_t rows, cols;
  std::vector<float> value;  // [rows, cols]
  std::vector<uint8_t> codes, sub_min;
  std::vector<int8_t> sub;
  std::vector<float> scale, min;
  std::vector<uint16_t> super, super_min;
};

struct Values {
  Values(int64_t r, int64_t c) : v(static_cast<size_t>(r * c), NAN), rows(r), cols(c) {}
  Values(int64_t r, int64_t c, uint32_t seed) : Values(r, c) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (float& f : v) f = normal(random);
  }
  Tensor tensor() { return {v.data(), rows, cols, DType::kF32}; }
  Tensor part(int64_t first, int64_t count) { return {v.data() + first * cols, count, cols, DType::kF32}; }
  std::vector<float> v;
  int64_t rows, cols;
};

inline double dot(const float* a, const float* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += double{a[i]} * b[i];
  return sum;
}

}  // namespace tessera
