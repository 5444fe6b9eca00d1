#pragma once
// Launchers of the kernels of products. All enqueue on the device's stream and allocate nothing.
#include "backend/cuda/device.h"
#include "backend/cuda/matrix.h"
#include "base/tensor.h"

namespace tessera::cuda {

// matvec_bf16.cu, of bfloat16 weights and rows. `shared_limit`: bytes of shared memory that a block may have.
void matvec_bf16(const Device& device, int shared_limit, bool gated, const MatvecArgs& a);

// matvec_int_*.cu, of quantised weights and the digits of the rows. False: no such form here.
bool matvec_int_q4(const Device& device, int shared_limit, const Form& form, bool gated, const MatvecArgs& a);
bool matvec_int_q56(const Device& device, int shared_limit, const Form& form, bool gated,
                    const MatvecArgs& a);
bool matvec_int_q8(const Device& device, int shared_limit, const Form& form, bool gated, const MatvecArgs& a);

// digits.cu
/// Digits (digits.cuh) of x [rows, cols] f32 or bf16, padded with zeros to `stride`.
void quantise_rows(const Device& device, Tensor x, int64_t stride, DigitsOut digits);

// Rows of a quantised matrix as they come from the file, one after the other, `row_bytes` each.
struct StagedRows {
  const uint8_t* rows;
  int64_t row_bytes, cols;
  int64_t scales_at, mins_at, super_scales_at, super_mins_at;  // codes at 0
  QuantLayout layout;
};

// pack_kernels.cu
/// `tiles` tiles of `form` from 16 staged rows each.
void pack_tiles(const Device& device, const StagedRows& from, int64_t tiles, const Form& form, int64_t stride,
                uint8_t* to);
/// Float rows [rows, cols] to [rows, stride] of `dtype`, padded with zeros; exact when the format holds the
/// values.
void pack_floats(const Device& device, const float* from, int64_t rows, int64_t cols, int64_t stride,
                 DType dtype, uint8_t* to);

// unpack.cu
/// Tiles [first, first + count) of a quantised segment as bfloat16 rows [16 * count, stride].
void unpack_tiles(const Device& device, const Segment& segment, int64_t stride, int64_t first, int64_t count,
                  void* to);
/// y[r] = row token[r] of the matrix * scale where token[r] lies in the segment, 0 where it is below 0.
void embed_rows(const Device& device, const Segment& segment, int64_t stride, Tensor y, const int32_t* token,
                int64_t rows, float scale);

// plain.cu
/// [rows, cols] f32, f16 or bf16 to bf16 [rows, stride], padded with zeros.
void pad_rows(const Device& device, Tensor x, int64_t stride, void* to);
/// y[r, 0 … segment.rows) = x Wᵀ in float32, for float formats and any x; simple.
void plain_linear(const Device& device, const Segment& segment, int64_t stride, Tensor x, float* y,
                  int64_t y_stride);
/// y = gelu_tanh(gate) * up; gate_up [rows, 2n] f32 or bf16, y [rows, up to n] f32 or bf16.
void gate(const Device& device, Tensor y, Tensor gate_up);
/// y = cap * tanh(y / cap).
void soft_cap(const Device& device, Tensor y, float cap);

// matmul.cu
/// y[r, 0 … outputs) = x Wᵀ by mma.sync, for where cuBLASLt is missing or refuses: w bf16 [outputs, stride],
/// x bf16 [rows, stride], y f32 or bf16.
void plain_matmul(const Device& device, const void* w, int64_t outputs, int64_t stride, const void* x,
                  int64_t rows, void* y, int64_t y_stride, bool y_f32);

}  // namespace tessera::cuda
