#pragma once
// The backends that a test program tests, and tensors in their memory. Built with TESSERA_TEST_CUDA the
// program tests the card, else the CPU's instruction sets: one source of tests for both.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/error.h"
#include "support/isas.h"

namespace tessera::test {

struct Tested {
  std::string name, isa;
  CudaOptions cuda;
};

inline void PrintTo(const Tested& t, std::ostream* out) {
  *out << t.name;
}

inline std::unique_ptr<Backend> make(const Tested& t) {
  return t.isa.empty() ? make_cuda_backend(t.cuda) : make_cpu_backend(3, t.isa);
}

inline std::vector<Tested> tested_backends() {
#ifdef TESSERA_TEST_CUDA
  return {{"cuda", "", {}},
          {"cuda_exact", "", {.exact = true}},
          {"cuda_small_card", "", {.shared_bytes = 99 * 1024}}};
#else
  std::vector<Tested> out;
  for (const std::string& isa : isas()) out.push_back({isa, isa, {}});
  return out;
#endif
}

struct Values {
  std::vector<float> v;
  int64_t rows, cols;
  float* row(int64_t r) { return v.data() + r * cols; }
};

/// A tensor in a backend's memory.
struct Placed {
  Placed(Backend& backend, const Values& from, DType dtype = DType::kF32) : be(&backend) {
    const int64_t count = from.rows * from.cols;
    memory = be->allocate(count * dtype_bytes(dtype));
    tensor = {memory.get(), from.rows, from.cols, dtype};
    std::vector<uint16_t> narrow;
    if (dtype == DType::kBF16)
      for (const float f : from.v) narrow.push_back(f32_to_bf16(f));
    be->write(memory.get(), narrow.empty() ? static_cast<const void*>(from.v.data()) : narrow.data(),
              count * dtype_bytes(dtype));
    be->sync();  // `narrow` goes
  }
  Values values() const {
    Values out{std::vector<float>(static_cast<size_t>(tensor.rows * tensor.cols)), tensor.rows, tensor.cols};
    be->read(out.v.data(), tensor);
    return out;
  }
  operator Tensor() const { return tensor; }  // NOLINT

  Backend* be;
  std::shared_ptr<void> memory;
  Tensor tensor;
};

class OpsTest : public testing::TestWithParam<Tested> {
 protected:
  void seed(uint32_t s) {
    random_.seed(s);
    seed_ = s;
  }
  Values values(int64_t rows, int64_t cols, float scale = 1) {
    std::normal_distribution<float> normal(0, scale);
    Values out{std::vector<float>(static_cast<size_t>(rows * cols)), rows, cols};
    for (float& f : out.v) f = normal(random_);
    return out;
  }
  static Values poison(int64_t rows, int64_t cols) {  // an element that is not written stays NaN and fails
    return {std::vector<float>(static_cast<size_t>(rows * cols), NAN), rows, cols};
  }
  static WeightSource source(const Values& v, DType stored) {
    const auto read = [&v](int64_t first, int64_t count, float* out) {
      std::copy_n(v.v.data() + first * v.cols, count * v.cols, out);
    };
    return {.cols = v.cols, .parts = {{.rows = v.rows, .stored = stored, .read = read}}};
  }
  static Weight plain(Backend& be, const Values& v) { return be.pack_plain(source(v, DType::kF32)); }
  static void round_bf16(Values& v) {
    for (float& f : v.v) f = bf16_to_f32(f32_to_bf16(f));
  }
  DType act() const { return be_->activation_dtype(); }
  bool rounds() const { return act() == DType::kBF16; }
  /// What goes into a product: as the backend holds it.
  Values inputs(int64_t rows, int64_t cols, float scale = 1) {
    Values out = values(rows, cols, scale);
    if (rounds()) round_bf16(out);
    return out;
  }
  /// Of an output in the backend's activation format: bfloat16 moves a value by up to 2^-8 of it, 1.6e-3 in
  /// the mean; some tests have a few values only.
  double rounded(double limit) const { return rounds() ? limit + 1.0 / 256 : limit; }

  // Relative L2 error; NaN fails. `typical`: size of a value before cancellation, so that one small sum of
  // large products is not measured against itself.
  void expect_close(const Values& found, const Values& wanted, double limit, const std::string& what,
                    double typical = 0) {
    double error = 0, norm = typical * typical * static_cast<double>(wanted.v.size());
    for (size_t i = 0; i < wanted.v.size(); ++i) {
      error += (double{found.v[i]} - wanted.v[i]) * (double{found.v[i]} - wanted.v[i]);
      norm += double{wanted.v[i]} * wanted.v[i];
    }
    EXPECT_TRUE(std::sqrt(error) <= limit * std::sqrt(norm) + 1e-12)
        << what << ", seed " << seed_ << ": relative error " << std::sqrt(error / norm);
  }

  std::unique_ptr<Backend> ref_ = make_ref_backend(), be_ = make(GetParam());
  std::mt19937 random_;
  uint32_t seed_ = 0;
};

}  // namespace tessera::test
