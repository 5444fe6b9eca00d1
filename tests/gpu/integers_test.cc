// Integer products: the digits of x bit for bit, products against those of the digits and of x itself, and
// that it does not matter which kernel made the digits.
#include "backend/cuda/kernels.h"
#include "backend/cuda/ops.h"
#include "gpu/gpu_products.h"

namespace tessera {
namespace {

std::vector<Form> all_forms() {
  std::vector<Form> out = forms();
  out.push_back({"mlx4_32", {.bits = 4, .group = 32, .scale = Scale::kBF16, .has_min = true}});
  out.push_back({"mlx8_32", {.bits = 8, .group = 32, .scale = Scale::kBF16, .has_min = true}});
  return out;
}

int64_t padded(int64_t cols) {
  return (cols + 255) / 256 * 256;
}

// Of row r's input k.
cuda::DigitSums sums_at(const std::vector<uint8_t>& records, int64_t r, int64_t cols, int64_t k) {
  cuda::DigitSums out;
  std::memcpy(&out,
              records.data() + r * cuda::digit_bytes(padded(cols)) + k / 256 * cuda::kRecordBytes + 512 +
                  k % 256 / 128 * 64,
              sizeof(out));
  return out;
}

constexpr double kLeast = cuda::kLeastScaled;  // inputs of blocks below count as zeros

class GpuIntegers : public GpuProducts {
 protected:
  // Rows as models have them: an input hundreds of times the others, blocks of zeros, tiny ones.
  Values uneven(int64_t rows, int64_t cols, uint32_t seed) {
    Values x = inputs(rows, cols, seed);
    for (int64_t r = 0; r < rows; ++r) {
      float* row = x.v.data() + r * cols;
      row[r * 37 % cols] = r % 2 == 0 ? 300.0F : -300.0F;
      if (cols > 512) {
        std::fill(row + 128, row + 256, 0.0F);
        for (int64_t k = 256; k < 384; ++k) row[k] *= 1e-20F;
        for (int64_t k = 384; k < 512; ++k) row[k] *= 1e-34F;
      }
    }
    x.v = to_bf16(x.v);
    return x;
  }
  std::vector<uint8_t> bytes_of(const std::shared_ptr<void>& memory, int64_t bytes) {
    device.synchronize();
    std::vector<uint8_t> out(static_cast<size_t>(bytes));
    cuda::check(cudaMemcpy(out.data(), memory.get(), out.size(), cudaMemcpyDeviceToHost), "read");
    return out;
  }
  std::shared_ptr<void> digit_memory(int64_t rows, int64_t stride) {
    return device.allocate(rows * cuda::digit_bytes(stride));
  }
  std::vector<uint8_t> quantised(Tensor x, int64_t stride) {
    const auto memory = digit_memory(x.rows, stride);
    cuda::quantise_rows(device, x, stride, {static_cast<uint8_t*>(memory.get()), true});
    return bytes_of(memory, x.rows * cuda::digit_bytes(stride));
  }
};

TEST_F(GpuIntegers, DigitsAreTheHosts) {
  for (const int64_t cols : {1, 100, 640, 768, 3840, 15360})
    for (const int64_t rows : {1, 3, 8, 32})
      for (const DType dtype : {DType::kBF16, DType::kF32}) {
        const Values x = uneven(rows, cols, 7);
        const int64_t stride = padded(cols);
        const OnCard in = on_card(rows, cols, dtype, &x.v);
        ASSERT_EQ(quantised(in.tensor, stride), digit_records(x, stride)) << rows << " x " << cols;
      }
}

TEST_F(GpuIntegers, WhatIsNotFiniteStaysSo) {
  const QuantMatrix w(forms()[1].layout, 16, 512, 3);
  const Weight packed = products.pack({.cols = 512, .parts = {w.part()}});
  products.reserve(8);
  for (const float bad : {NAN, INFINITY}) {
    Values x = inputs(2, 512, 4);
    x.v[512 + 300] = bad;
    const std::vector<float> y = linear(packed, x);
    for (size_t i = 0; i < 32; ++i) EXPECT_EQ(std::isfinite(y[i]), i < 16) << bad << ", " << i;
  }
}

// Against the digits' product what is left is rounding of sums (2^-24 a step), and with kSuper mins half a
// step of the sums' digits; against that of x half a step of every input.
TEST_F(GpuIntegers, EveryFormWithinItsSteps) {
  uint32_t seed = 50;
  for (const Form& form : all_forms())
    for (const auto& [outputs, cols] :
         {std::pair<int64_t, int64_t>{83, 768}, {40, 640}, {21, 15360}, {2720, 256}, {16, 4096}}) {
      if (cols % kSuperBlock != 0 && form.layout.scale == Scale::kSuper) continue;
      const QuantMatrix w(form.layout, outputs, cols, ++seed);
      const Weight packed = products.pack({.cols = cols, .parts = {w.part()}});
      products.reserve(17);
      for (const int64_t rows : {1, 2, 3, 4, 5, 8, 17}) {
        const Values x = uneven(rows, cols, ++seed), seen = digit_values(x);
        const std::vector<float> y = linear(packed, x);
        const std::vector<uint8_t> records = digit_records(x, padded(cols));
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t c = 0; c < outputs; ++c) {
            const float *a = x.v.data() + r * cols, *d = seen.v.data() + r * cols,
                        *b = w.value.data() + c * cols;
            double size = 0, steps = 0, sums = 0;
            for (int64_t k = 0; k < cols; ++k) {
              const cuda::DigitSums of = sums_at(records, r, cols, k);
              size += std::fabs(double{a[k]} * b[k]);
              steps += std::fabs(double{b[k]}) * (0.501 * of.scale + (of.scale == 0 ? kLeast : 0));
              if (k % 32 == 0 && w.layout.scale == Scale::kSuper && w.layout.has_min)
                sums += of.sum_scale / 2.0 *
                        f16_to_f32(w.super_min[static_cast<size_t>((c * cols + k) / 256)]) *
                        w.sub_min[static_cast<size_t>((c * cols + k) / 32)];
            }
            const float found = y[static_cast<size_t>(r * outputs + c)];
            const std::string what = form.name + ", " + std::to_string(cols) + " inputs, row " +
                                     std::to_string(r) + " of " + std::to_string(rows) + ", output " +
                                     std::to_string(c);
            ASSERT_NEAR(found, dot(d, b, cols), 2e-6 * size + sums + 1e-30) << what;
            ASSERT_NEAR(found, dot(a, b, cols), 2e-6 * size + sums + steps + 1e-30) << what;
          }
      }
    }
}

TEST_F(GpuIntegers, NormsWriteTheDigitsOfWhatTheyStore) {
  for (const int64_t cols : {256, 3840, 5376, 15360})
    for (const int64_t rows : {1, 5, 8})
      for (const DType dtype : {DType::kBF16, DType::kF32}) {
        const Values x = uneven(rows, cols, 20), y = uneven(rows, cols, 21), w = inputs(1, cols, 22);
        const OnCard stream = on_card(rows, cols, DType::kF32, &x.v),
                     branch = on_card(rows, cols, DType::kF32, &y.v),
                     weight = on_card(1, cols, DType::kF32, &w.v), h = on_card(rows, cols, dtype);
        const auto memory = digit_memory(rows, cols);
        const cuda::DigitsOut digits = {static_cast<uint8_t*>(memory.get()), true};
        const int64_t bytes = rows * cuda::digit_bytes(cols);
        cuda::norm(device, h.tensor, stream.tensor, weight.tensor.f32(), 1e-6F, digits);
        ASSERT_EQ(bytes_of(memory, bytes), quantised(h.tensor, cols)) << "norm, " << rows << " x " << cols;
        cuda::residual_norm(device, stream.tensor, branch.tensor, weight.tensor.f32(), 0.7F, h.tensor,
                            weight.tensor.f32(), 1e-6F, digits);
        ASSERT_EQ(bytes_of(memory, bytes), quantised(h.tensor, cols))
            << "residual_norm, " << rows << " x " << cols;
      }
}

// The 12B's width: on cards with 120 to 150 multiprocessors the gated product writes the digits of its
// result.
TEST_F(GpuIntegers, AGatedResultsDigitsAreThoseOfACopy) {
  for (const size_t i : {1U, 5U, 7U, 0U}) {
    const QuantLayout layout = forms()[i].layout;
    const QuantMatrix gate(layout, 15360, 256, 30), up(layout, 15360, 256, 31), down(layout, 40, 15360, 32);
    const Weight w = products.pack({.cols = 256, .row_align = 16, .parts = {gate.part(), up.part()}}),
                 w_down = products.pack({.cols = 15360, .parts = {down.part()}});
    products.reserve(17);
    const Values all = inputs(17, 256, 33);
    std::vector<float> first_row;  // whatever rows are beside it
    for (const int64_t rows : {1, 4, 7, 17}) {
      Values x(rows, 256);
      std::copy_n(all.v.begin(), rows * 256, x.v.begin());
      const OnCard in = on_card(rows, 256, DType::kBF16, &x.v), ffn = on_card(rows, 15360, DType::kBF16),
                   y = on_card(rows, 40, DType::kF32);
      products.gated_linear(ffn.tensor, in.tensor, w);
      products.linear(y.tensor, ffn.tensor, w_down);
      const std::vector<float> fused = read(y.tensor);
      products.forget();
      products.linear(y.tensor, ffn.tensor, w_down);
      ASSERT_EQ(read(y.tensor), fused) << forms()[i].name << ", " << rows << " rows";
      Values between(rows, 15360);
      between.v = read(ffn.tensor);
      std::vector<float> row(between.v.begin(), between.v.begin() + 15360);
      if (rows == 1) first_row = row;
      ASSERT_EQ(row, first_row) << forms()[i].name << ", " << rows << " rows";
      expect_product(fused, digit_values(between), down.value, 40, 2e-5, forms()[i].name);
    }
  }
}

TEST_F(GpuIntegers, DigitsAreForgottenWhenAsked) {
  const QuantMatrix w(forms()[1].layout, 16, 512, 40);
  const Weight packed = products.pack({.cols = 512, .parts = {w.part()}});
  products.reserve(8);
  const Values x = inputs(3, 512, 41), other = inputs(3, 512, 42);
  const OnCard in = on_card(3, 512, DType::kBF16, &x.v), from = on_card(3, 512, DType::kBF16, &other.v),
               y = on_card(3, 16, DType::kF32);
  const auto product = [&] {
    products.linear(y.tensor, in.tensor, packed);
    return read(y.tensor);
  };
  const std::vector<float> of_x = product();
  const cuda::DigitsOut digits = products.digits_for(in.tensor);
  ASSERT_NE(digits.data, nullptr);
  cuda::quantise_rows(device, from.tensor, 512, digits);
  EXPECT_EQ(product(), linear(packed, other)) << "digits that the producer wrote are used";
  products.forget();
  EXPECT_EQ(product(), of_x);
  EXPECT_EQ(products.digits_for({in.tensor.data, 9, 512, DType::kBF16}).data, nullptr);
  EXPECT_EQ(products.digits_for({in.tensor.data, 3, 256, DType::kBF16}).data, nullptr);
}

}  // namespace
}  // namespace tessera
