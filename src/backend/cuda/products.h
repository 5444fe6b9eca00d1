#pragma once
// Matrix products of the CUDA backend: weights packed on the card, y = x Wᵀ for any number of rows, the
// embedding table. Up to 8 rows stream the weights once (matvec), up to 32 of quantised weights once for each
// eight; more go through cuBLASLt in bfloat16.
#include <cstdint>
#include <memory>
#include <string>

#include "backend/backend.h"
#include "backend/cuda/device.h"
#include "backend/cuda/matrix.h"

namespace tessera::cuda {

inline constexpr int64_t kMatvecRows = 8;

// Rows of quantised weights that go by eights in integers instead of opening the matrix to bfloat16. 48
// layers on an H200: a step of 9 rows that opened everything took 18.3 ms in Q4_0 and 19.5 in Q8_0, one of 8
// in integers 3.3 and 4.3; so 32 rows should take at most 4 times that, 13.3 and 17.2, and 40 rows of Q8_0
// would lose. By arithmetic: it has not been measured.
inline constexpr int64_t kIntegerRows = 32;

struct Matrix;  // a packed weight (matrix.h); Weight::data points to it

/// Tensors are device memory; all work is enqueued on the device's stream. After reserve() the calls below it
/// neither allocate nor wait, so they can be captured in a graph. A row's bits do not depend on the rows
/// beside it while there are at most kMatvecRows, or kIntegerRows where all weights are quantised. x is
/// bfloat16, or float32 for models whose weights are float32 (float32 x is rounded to bfloat16 for a bfloat16
/// weight with more than kMatvecRows rows and a quantised one with more than kIntegerRows).
class Products {
 public:
  explicit Products(Device& device);
  ~Products();
  Products(const Products&) = delete;
  Products& operator=(const Products&) = delete;

  /// Streams a matrix from the file to the card through pinned buffers. Throws Error(kDevice) when it does
  /// not fit.
  Weight pack(const WeightSource& source);
  /// All weights are packed: gives the pinned buffers back.
  void weights_done();
  /// Work memory for up to `max_rows` rows of everything packed so far.
  void reserve(int64_t max_rows);
  /// Bytes that reserve(max_rows) takes.
  int64_t workspace_bytes(int64_t max_rows) const;

  void linear(Tensor y, Tensor x, Weight w);  // y f32 [rows, n], x [rows, k]
  /// y = gelu_tanh(x Wgᵀ) * (x Wuᵀ), bf16 or f32 [rows, ffn]; gate rows first, each half padded to 16 rows.
  void gated_linear(Tensor y, Tensor x, Weight w_gate_up);
  void logits(Tensor y, Tensor x, Weight w, float cap);  // y = cap * tanh(x Wᵀ / cap); cap 0: none
  /// y[r] = table[token[r]] * scale, f32; token is device memory, -1: 0.
  void embed(Tensor y, Weight table, const int32_t* token, int64_t rows, float scale);

  /// For the kernel that makes x (up to kMatvecRows rows): where the digits of what it stores go (digits.cuh,
  /// x.cols inputs); products of x then read them instead of making their own, until forget(), the next
  /// call or a gated product. Nowhere where no product would: its weights, width or number of rows. What is
  /// stored in x afterwards by anything else asks for forget().
  DigitsOut digits_for(Tensor x);
  void forget();

  int64_t weight_bytes() const;
  /// "cuBLASLt 13.0.2", or why the slower kernel is used.
  std::string describe() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tessera::cuda
