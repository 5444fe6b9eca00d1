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
#include "support/quant_matrix.h"

namespace tessera {
namespace {

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

class Quant : public testing::TestWithParam<std::string> {};

TEST_P(Quant, ProductsEqualAPlainComputationOnTheSameCodes) {
  for (const Form& form : forms()) {
    auto be = make_cpu_backend(2, GetParam());
    const int64_t cols = form.layout.scale == Scale::kSuper ? 768 : 640;
    const QuantMatrix w(form.layout, 83, cols, 1);
    const Weight packed = be->pack({.cols = cols, .parts = {w.part()}});
    EXPECT_EQ(packed.dtype, DType::kQuant) << form.name;
    for (const int64_t rows : {1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 17, 25, 31, 32, 33}) {
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
    Values x(37, cols, 3), whole(37, outputs);
    many->linear(whole.tensor(), x.tensor(), b);
    for (const int64_t step : {1, 2, 3, 5, 8, 14, 33}) {
      Values parts(37, outputs);
      for (int64_t r = 0; r < 37; r += step)
        one->linear(parts.part(r, std::min(step, 37 - r)), x.part(r, std::min(step, 37 - r)), a);
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
