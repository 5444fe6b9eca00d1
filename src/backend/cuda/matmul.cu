// A product of many rows by mma.sync, for machines without cuBLASLt and for shapes that it refuses: operands
// go from memory (mostly the first-level cache) to registers, as in matvec. Correct on every card, some times
// slower.
#include "backend/cuda/fragments.cuh"
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"

namespace tessera::cuda {
namespace {

constexpr int kOutputs = 128, kRows = 64;  // of a block: 8 warps of 16 outputs × 64 rows

template <typename Y>
__global__ void __launch_bounds__(256) multiply(const uint8_t* w, int64_t outputs, int64_t stride,
                                                const uint8_t* x, int64_t rows, Y* y, int64_t y_stride) {
  depend_release();
  depend_wait();
  const int lane = static_cast<int>(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
  const int64_t output = blockIdx.x * int64_t{kOutputs} + threadIdx.x / 32 * 16 + g;
  const int64_t row = blockIdx.y * int64_t{kRows};
  const auto at = [&](const uint8_t* m, int64_t r, int64_t count) {  // beyond the end: the last row again
    return m + (r < count ? r : count - 1) * stride * 2 + t * 16;
  };
  const uint8_t *w0 = at(w, output, outputs), *w1 = at(w, output + 8, outputs);
  const uint8_t* xs[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) xs[i] = at(x, row + i * 8 + g, rows);
  float acc[8][4] = {};
  for (int64_t k = 0; k < stride * 2; k += 64) {
    const uint4 u = *reinterpret_cast<const uint4*>(w0 + k), v = *reinterpret_cast<const uint4*>(w1 + k);
    const uint32_t a0[4] = {u.x, v.x, u.y, v.y}, a1[4] = {u.z, v.z, u.w, v.w};
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const uint4 b = *reinterpret_cast<const uint4*>(xs[i] + k);
      mma(acc[i], a0, b.x, b.y);
      mma(acc[i], a1, b.z, b.w);
    }
  }
#pragma unroll
  for (int i = 0; i < 8; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int64_t r = row + i * 8 + t * 2 + j % 2, o = output + j / 2 * 8;
      if (r >= rows || o >= outputs) continue;
      if constexpr (sizeof(Y) == 4)
        y[r * y_stride + o] = acc[i][j];
      else
        y[r * y_stride + o] = __float2bfloat16(acc[i][j]);
    }
}

}  // namespace

void plain_matmul(const Device& device, const void* w, int64_t outputs, int64_t stride, const void* x,
                  int64_t rows, void* y, int64_t y_stride, bool y_f32) {
  const dim3 grid(static_cast<unsigned>((outputs + kOutputs - 1) / kOutputs),
                  static_cast<unsigned>((rows + kRows - 1) / kRows));
  const auto *wb = static_cast<const uint8_t*>(w), *xb = static_cast<const uint8_t*>(x);
  if (y_f32)
    launch(device, multiply<float>, grid, dim3(256), 0, wb, outputs, stride, xb, rows, static_cast<float*>(y),
           y_stride);
  else
    launch(device, multiply<__nv_bfloat16>, grid, dim3(256), 0, wb, outputs, stride, xb, rows,
           static_cast<__nv_bfloat16*>(y), y_stride);
}

}  // namespace tessera::cuda
