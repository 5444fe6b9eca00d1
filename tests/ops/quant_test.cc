// Products with quantised weights, every neutral form on every instruction set, against a plain computation
// on the same codes; and the row contract: a row's result is the same bits whatever rows and outputs are
// beside it.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "backend/backend.h"
#include "base/error.h"
#include "support/isas.h"

namespace tessera {
namespace {

using Scale = QuantLayout::Scale;

struct Form {
  std::string name;
  QuantLayout layout;
};

std::vector<Form> forms() {
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

// x as bytes, back as float: a scale for 32 inputs against 6 and 8 bits, for 256 against shorter ones.
Values rounded(const Values& x, const QuantLayout& layout) {
  Values out = x;
  const int64_t group = layout.bits >= 6 ? 32 : 256;
  for (int64_t r = 0; r < x.rows; ++r)
    for (int64_t k = 0; k < x.cols; k += group) {
      const size_t at = static_cast<size_t>(r * x.cols + k),
                   end = at + static_cast<size_t>(std::min(group, x.cols - k));
      float most = 0;
      for (size_t i = at; i < end; ++i) most = std::max(most, std::fabs(x.v[i]));
      const float inverse = most > 0 ? 127.0F / most : 0.0F;
      for (size_t i = at; i < end; ++i) out.v[i] = std::nearbyint(x.v[i] * inverse) * (most / 127.0F);
    }
  return out;
}

// Values that become bytes without a rounding, whether 32 or 256 share a scale.
Values byte_values(int64_t rows, int64_t cols, uint32_t seed, float largest) {
  Values out(rows, cols);
  std::mt19937 random(seed);
  for (size_t i = 0; i < out.v.size(); ++i)
    out.v[i] =
        largest / 127 * (i % 32 == 0 ? 127.0F : static_cast<float>(static_cast<int>(random() % 255) - 127));
  return out;
}

double dot(const float* a, const float* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += double{a[i]} * b[i];
  return sum;
}

class Quant : public testing::TestWithParam<std::string> {};

TEST_P(Quant, ProductsEqualAPlainComputationOnTheSameCodes) {
  for (const Form& form : forms()) {
    auto be = make_cpu_backend(2, GetParam());
    const int64_t cols = form.layout.scale == Scale::kSuper ? 768 : 640;
    const QuantMatrix w(form.layout, 83, cols, 1);
    const Weight packed = be->pack({.cols = cols, .parts = {w.part()}});
    EXPECT_EQ(packed.dtype, DType::kQuant) << form.name;
    for (const int64_t rows : {1, 2, 3, 4, 7, 11, 12, 13, 25}) {
      Values x(rows, cols, 7), y(rows, 83);
      const Values in = rounded(x, form.layout);
      be->linear(y.tensor(), x.tensor(), packed);
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < 83; ++c) {
          const double wanted = dot(in.v.data() + r * cols, w.value.data() + c * cols, cols);
          double size = 0;
          for (int64_t k = 0; k < cols; ++k)
            size += std::fabs(double{in.v[static_cast<size_t>(r * cols + k)]} *
                              w.value[static_cast<size_t>(c * cols + k)]);
          ASSERT_NEAR(y.v[static_cast<size_t>(r * 83 + c)], wanted, 2e-6 * size)
              << form.name << ", row " << r << " of " << rows << ", output " << c;
        }
    }
  }
}

TEST_P(Quant, ARowsResultDoesNotDependOnTheRowsBesideIt) {
  for (const Form& form : forms()) {
    auto one = make_cpu_backend(1, GetParam()), many = make_cpu_backend(3, GetParam());
    const int64_t cols = 512, outputs = 16 * 9 + 5;
    const QuantMatrix w(form.layout, outputs, cols, 2);
    const WeightSource source{.cols = cols, .parts = {w.part()}};
    const Weight a = one->pack(source), b = many->pack(source);
    Values x(29, cols, 3), whole(29, outputs);
    many->linear(whole.tensor(), x.tensor(), b);
    for (const int64_t step : {1, 2, 3, 5, 8, 14}) {
      Values parts(29, outputs);
      for (int64_t r = 0; r < 29; r += step)
        one->linear(parts.part(r, std::min(step, 29 - r)), x.part(r, std::min(step, 29 - r)), a);
      ASSERT_EQ(std::memcmp(parts.v.data(), whole.v.data(), whole.v.size() * 4), 0)
          << form.name << ", " << step;
    }
  }
}

TEST_P(Quant, PartsOfDifferentFormsMakeOneMatrix) {
  auto be = make_cpu_backend(2, GetParam()), ref = make_ref_backend();
  const auto all = forms();
  const QuantMatrix q(all[5].layout, 64, 512, 4), k(all[5].layout, 32, 512, 5), v(all[7].layout, 21, 512, 6);
  const WeightSource source{.cols = 512, .parts = {q.part(), k.part(), v.part()}};
  const Weight packed = be->pack(source);
  EXPECT_EQ(packed.dtype, DType::kQuant);
  Values x = byte_values(5, 512, 8, 1.0F), y(5, 117), wanted(5, 117);
  be->linear(y.tensor(), x.tensor(), packed);
  ref->linear(wanted.tensor(), x.tensor(), ref->pack(source));
  for (size_t i = 0; i < y.v.size(); ++i) ASSERT_NEAR(y.v[i], wanted.v[i], 2e-3) << i;
  // A cut inside a panel is opened to floats instead, and gives the same.
  const WeightSource cut{.cols = 512, .parts = {v.part(), q.part()}};
  const Weight opened = be->pack(cut);
  EXPECT_EQ(opened.dtype, DType::kF32);
  Values y2(5, 85), wanted2(5, 85);
  be->linear(y2.tensor(), x.tensor(), opened);
  ref->linear(wanted2.tensor(), x.tensor(), ref->pack(cut));
  for (size_t i = 0; i < y2.v.size(); ++i) ASSERT_NEAR(y2.v[i], wanted2.v[i], 2e-3) << i;
}

TEST_P(Quant, GateAndUp) {
  const auto all = forms();
  for (const size_t second : {5U, 7U}) {  // up in the same form as gate, and in another
    auto be = make_cpu_backend(2, GetParam()), ref = make_ref_backend();
    const QuantMatrix gate(all[5].layout, 72, 256, 10), up(all[second].layout, 72, 256, 11);
    const WeightSource source{.cols = 256, .row_align = 16, .parts = {gate.part(), up.part()}};
    Values x = byte_values(14, 256, 12, 0.2F), y(14, 72), wanted(14, 72);
    be->gated_linear(y.tensor(), x.tensor(), be->pack(source));
    ref->gated_linear(wanted.tensor(), x.tensor(), ref->pack(source));
    for (size_t i = 0; i < y.v.size(); ++i)
      ASSERT_NEAR(y.v[i], wanted.v[i], 1e-3 + 1e-4 * std::fabs(wanted.v[i])) << second << ", " << i;
  }
}

TEST_P(Quant, EmbeddingRowsAreExact) {
  for (const Form& form : forms()) {
    auto be = make_cpu_backend(2, GetParam());
    const QuantMatrix w(form.layout, 40, 256, 20);
    const Weight packed = be->pack({.cols = 256, .parts = {w.part()}});
    StepPlan plan;
    plan.token = {39, 0, 17};
    plan.position = {0, 1, 2};
    plan.sequence = plan.span_end = {0, 0, 0};
    Values y(3, 256);
    be->embed(y.tensor(), packed, plan, 1.0F);
    for (size_t r = 0; r < 3; ++r)
      for (size_t k = 0; k < 256; ++k)
        ASSERT_EQ(y.v[r * 256 + k], w.value[static_cast<size_t>(plan.token[r]) * 256 + k])
            << form.name << ' ' << k;
  }
}

TEST_P(Quant, ZerosAndHugeValues) {
  auto be = make_cpu_backend(1, GetParam());
  const QuantMatrix w(forms()[0].layout, 16, 64, 30);
  const Weight packed = be->pack({.cols = 64, .parts = {w.part()}});
  Values x(1, 64), y(1, 16);
  std::fill(x.v.begin(), x.v.end(), 0.0F);
  be->linear(y.tensor(), x.tensor(), packed);
  for (const float f : y.v) EXPECT_EQ(f, 0.0F);
  x.v[5] = 1e-38F;
  be->linear(y.tensor(), x.tensor(), packed);
  for (const float f : y.v) EXPECT_EQ(f, 0.0F);
  x.v[5] = 1e30F;
  be->linear(y.tensor(), x.tensor(), packed);
  for (size_t c = 0; c < 16; ++c) EXPECT_NEAR(y.v[c] / 1e30F, w.value[c * 64 + 5], 1e-6);
}

// A packed copy takes the file's bytes; K-quants a little more (a scale has a byte of its own, of six bits).
TEST(QuantBytes, AreTheFiles) {
  const auto all = forms();
  constexpr int64_t n = int64_t{3840} * 15360;
  EXPECT_EQ(cpu_quant_bytes(all[0].layout, 15360, 3840), n / 32 * 34);
  EXPECT_EQ(cpu_quant_bytes(all[1].layout, 15360, 3840), n / 32 * 18);
  EXPECT_EQ(cpu_quant_bytes(all[5].layout, 15360, 3840), n / 256 * 148);
  EXPECT_LE(cpu_quant_bytes(all[7].layout, 15360, 3840), n / 256 * 212);
  EXPECT_EQ(cpu_quant_bytes(all[9].layout, 15360, 3840), n / 64 * 68);
}

INSTANTIATE_TEST_SUITE_P(Isa, Quant, testing::ValuesIn(test::isas()),
                         [](const auto& param) { return param.param; });

}  // namespace
}  // namespace tessera
