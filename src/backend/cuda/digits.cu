// Digits of rows whose producer does not write them itself.
#include "backend/cuda/digits.cuh"
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"

namespace tessera::cuda {
namespace {

constexpr int kWarps = 4;

// One warp 128 inputs.
template <typename X>
__global__ void __launch_bounds__(32 * kWarps)
    quantise_rows_kernel(const X* x, int cols, int stride, DigitsOut digits) {
  depend_release();
  depend_wait();
  const int block = static_cast<int>(blockIdx.x * kWarps + threadIdx.x / 32),
            row = static_cast<int>(blockIdx.y);
  const int lane = static_cast<int>(threadIdx.x) % 32, first = block * kDigitCols + lane * 4;
  if (block >= stride / kDigitCols) return;
  float v[4];
#pragma unroll
  for (int i = 0; i < 4; ++i)
    v[i] = first + i < cols ? static_cast<float>(x[int64_t{row} * cols + first + i]) : 0.0F;
  put_digits(record_of(digits.data, row, stride, block), block % 2, v, lane, digits.sums);
}

}  // namespace

void quantise_rows(const Device& device, Tensor x, int64_t stride, DigitsOut digits) {
  const dim3 grid(static_cast<unsigned>((stride / kDigitCols + kWarps - 1) / kWarps),
                  static_cast<unsigned>(x.rows));
  const auto cols = static_cast<int>(x.cols);
  if (x.dtype == DType::kF32)
    launch(device, quantise_rows_kernel<float>, grid, dim3(32 * kWarps), 0, static_cast<const float*>(x.data),
           cols, static_cast<int>(stride), digits);
  else
    launch(device, quantise_rows_kernel<__nv_bfloat16>, grid, dim3(32 * kWarps), 0,
           static_cast<const __nv_bfloat16*>(x.data), cols, static_cast<int>(stride), digits);
}

}  // namespace tessera::cuda
