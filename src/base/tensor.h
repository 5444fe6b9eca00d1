#pragma once
// Tensor: a non-owning 2-D view. Memory belongs to a backend's arena; copying a Tensor copies the view.
#include <cstdint>

#include "base/dtype.h"

namespace tessera {

struct Tensor {
  void* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;  // contiguous: row stride == cols
  DType dtype = DType::kF32;

  float* f32() const { return static_cast<float*>(data); }
  float* row(int64_t r) const { return f32() + r * cols; }
};

/// A weight is opaque to the model: number format and layout are the backend's business (Backend::pack).
struct Weight {
  const void* data = nullptr;
  int64_t rows = 0, cols = 0;  // logical [out, in]; a vector is [1, n]
  DType dtype = DType::kF32;
  int64_t bytes = 0;  // as the backend holds it; bind_model fills it in

  explicit operator bool() const { return data != nullptr; }
};

}  // namespace tessera
