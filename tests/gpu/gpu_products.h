#pragma once
// What tests of the card's products share: tensors on the card, products against double precision.
#include <gtest/gtest.h>

#include "backend/cuda/products.h"
#include "support/digits.h"
#include "support/quant_matrix.h"

namespace tessera {

inline std::vector<float> to_bf16(std::vector<float> v) {
  for (float& f : v) f = bf16_to_f32(f32_to_bf16(f));
  return v;
}

// A float matrix whose values the format holds exactly.
struct FloatMatrix {
  FloatMatrix(DType format, int64_t row_count, int64_t col_count, uint32_t seed)
      : stored(format), rows(row_count), cols(col_count), value(Values(row_count, col_count, seed).v) {
    for (float& f : value) {
      f *= 0.05F;
      if (stored == DType::kBF16) f = bf16_to_f32(f32_to_bf16(f));
      if (stored == DType::kF16) f = f16_to_f32(f32_to_f16(f));
    }
  }
  WeightPart part() const {
    return {.rows = rows, .stored = stored, .read = [this](int64_t first, int64_t count, float* out) {
              std::copy_n(value.data() + first * cols, count * cols, out);
            }};
  }
  DType stored;
  int64_t rows, cols;
  std::vector<float> value;
};

class GpuProducts : public testing::Test {
 protected:
  // A tensor on the card; poisoned where no values are given.
  struct OnCard {
    std::shared_ptr<void> memory;
    Tensor tensor;
  };
  OnCard on_card(int64_t rows, int64_t cols, DType dtype, const std::vector<float>* values = nullptr) {
    const int64_t bytes = rows * cols * dtype_bytes(dtype);
    OnCard t{device.allocate(bytes, false), {}};
    t.tensor = {t.memory.get(), rows, cols, dtype};
    cuda::check(cudaMemsetAsync(t.memory.get(), 0xFF, static_cast<size_t>(bytes), device.stream()), "poison");
    if (!values) return t;
    std::vector<uint16_t> narrow;
    if (dtype == DType::kBF16)
      for (const float f : *values) narrow.push_back(f32_to_bf16(f));
    upload(t.memory.get(), dtype == DType::kBF16 ? static_cast<const void*>(narrow.data()) : values->data(),
           bytes);
    return t;
  }
  // On the device's stream: cudaMemcpy can return before the copy is there, and kernels do not wait for it
  // (five test programs at once on one card read the poison).
  void upload(void* to, const void* from, int64_t bytes) {
    cuda::check(
        cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, device.stream()),
        "upload");
    device.synchronize();
  }
  std::vector<float> read(Tensor t) {
    device.synchronize();
    const auto count = static_cast<size_t>(t.rows * t.cols);
    std::vector<float> out(count);
    std::vector<uint16_t> narrow(count);
    void* to = t.dtype == DType::kBF16 ? static_cast<void*>(narrow.data()) : out.data();
    cuda::check(
        cudaMemcpy(to, t.data, count * static_cast<size_t>(dtype_bytes(t.dtype)), cudaMemcpyDeviceToHost),
        "read");
    if (t.dtype == DType::kBF16)
      for (size_t i = 0; i < count; ++i) out[i] = bf16_to_f32(narrow[i]);
    return out;
  }
  std::vector<float> linear(Weight w, const Values& x, DType dtype = DType::kBF16) {
    const OnCard in = on_card(x.rows, x.cols, dtype, &x.v), out = on_card(x.rows, w.rows, DType::kF32);
    products.linear(out.tensor, in.tensor, w);
    return read(out.tensor);
  }
  // `tolerance`: of the sum of the products' sizes.
  void expect_product(const std::vector<float>& y, const Values& x, const std::vector<float>& w,
                      int64_t outputs, double tolerance, const std::string& what) {
    for (int64_t r = 0; r < x.rows; ++r)
      for (int64_t c = 0; c < outputs; ++c) {
        const float *a = x.v.data() + r * x.cols, *b = w.data() + c * x.cols;
        double size = 0;
        for (int64_t k = 0; k < x.cols; ++k) size += std::fabs(double{a[k]} * b[k]);
        ASSERT_NEAR(y[static_cast<size_t>(r * outputs + c)], dot(a, b, x.cols), tolerance * size)
            << what << ", row " << r << " of " << x.rows << ", output " << c;
      }
  }
  Values inputs(int64_t rows, int64_t cols, uint32_t seed) {
    Values x(rows, cols, seed);
    x.v = to_bf16(x.v);
    return x;
  }

  cuda::Device device{0};
  cuda::Products products{device};
};

}  // namespace tessera
