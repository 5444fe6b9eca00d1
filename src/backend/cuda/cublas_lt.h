#pragma once
// cuBLASLt, opened when a GPU is used: a program built with it starts where it is missing.
#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>
#include <string>

namespace tessera::cuda {

class CublasLt {
 public:
  static constexpr int64_t kWorkspaceBytes = int64_t{32} << 20;

  CublasLt();
  ~CublasLt();
  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;

  bool available() const { return state_ != nullptr; }
  /// y[r, 0 … outputs) = x Wᵀ on `stream`; w bf16 [outputs, stride], x bf16 [rows, stride], y f32 or bf16
  /// [rows, y_stride]. An algorithm is chosen when a shape is seen first. False: no algorithm takes it,
  /// nothing was enqueued.
  bool multiply(cudaStream_t stream, const void* w, int64_t outputs, int64_t stride, const void* x,
                int64_t rows, void* y, int64_t y_stride, bool y_f32, void* workspace);
  /// "cuBLASLt 13.0.2", or "no cuBLASLt (libcublasLt.so.13 not found)"
  const std::string& describe() const { return words_; }

 private:
  struct State;
  std::unique_ptr<State> state_;
  std::string words_;
};

}  // namespace tessera::cuda
