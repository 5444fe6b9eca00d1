// Products of float32 and float16 weights, and the small kernels around large products. The float32 path
// serves small models that are checked in float32: simple before fast.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "backend/cuda/fragments.cuh"
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"

namespace tessera::cuda {
namespace {

constexpr int kRowsAtOnce = 8;

__device__ __forceinline__ void put(float* to, float v) {
  *to = v;
}
__device__ __forceinline__ void put(__nv_bfloat16* to, float v) {
  *to = __float2bfloat16(v);
}

template <typename X>
__global__ void pad_row(const X* x, int64_t cols, int64_t stride, __nv_bfloat16* to) {
  depend_release();
  depend_wait();
  for (int64_t k = threadIdx.x; k < stride; k += blockDim.x)
    to[blockIdx.x * stride + k] =
        __float2bfloat16(k < cols ? static_cast<float>(x[blockIdx.x * cols + k]) : 0.0F);
}

// One warp an output, eight rows at a time: a row's sum has the same order whatever its neighbours.
template <typename W, typename X>
__global__ void dot(const W* w, int64_t outputs, int64_t stride, const X* x, int64_t rows, int64_t cols,
                    float* y, int64_t y_stride) {
  depend_release();
  depend_wait();
  const int64_t output = blockIdx.x * int64_t{8} + threadIdx.x / 32,
                first = blockIdx.y * int64_t{kRowsAtOnce};
  if (output >= outputs) return;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  float sum[kRowsAtOnce] = {};
  for (int64_t k = lane; k < cols; k += 32) {
    const float weight = static_cast<float>(w[output * stride + k]);
#pragma unroll
    for (int r = 0; r < kRowsAtOnce; ++r)
      if (first + r < rows) sum[r] = fmaf(weight, static_cast<float>(x[(first + r) * cols + k]), sum[r]);
  }
#pragma unroll
  for (int r = 0; r < kRowsAtOnce; ++r) {
    for (int other = 16; other > 0; other /= 2) sum[r] += __shfl_xor_sync(0xFFFFFFFFU, sum[r], other);
    if (lane == 0 && first + r < rows) y[(first + r) * y_stride + output] = sum[r];
  }
}

template <typename W>
void dot_of(const Device& device, const Segment& s, int64_t stride, Tensor x, float* y, int64_t y_stride) {
  const dim3 grid(static_cast<unsigned>((s.rows + 7) / 8),
                  static_cast<unsigned>((x.rows + kRowsAtOnce - 1) / kRowsAtOnce));
  const auto* w = reinterpret_cast<const W*>(s.data);
  if (x.dtype == DType::kF32)
    launch(device, dot<W, float>, grid, dim3(256), 0, w, s.rows, stride, static_cast<const float*>(x.data),
           x.rows, x.cols, y, y_stride);
  else
    launch(device, dot<W, __nv_bfloat16>, grid, dim3(256), 0, w, s.rows, stride,
           static_cast<const __nv_bfloat16*>(x.data), x.rows, x.cols, y, y_stride);
}

template <typename Y, typename G>
__global__ void gate_values(Y* y, int64_t cols, const G* gate_up, int64_t n) {
  depend_release();
  depend_wait();
  const int64_t k = blockIdx.x * int64_t{blockDim.x} + threadIdx.x, r = blockIdx.y;
  if (k >= cols) return;
  const G* row = gate_up + r * 2 * n;
  put(y + r * cols + k, gelu_tanh(static_cast<float>(row[k])) * static_cast<float>(row[n + k]));
}

// Eight columns a thread; cols and n are multiples of 8.
__global__ void gate_bf16(uint4* y, int64_t cols, const uint4* gate_up, int64_t n) {
  depend_release();
  depend_wait();
  const int64_t k = blockIdx.x * int64_t{blockDim.x} + threadIdx.x, r = blockIdx.y;
  if (k >= cols / 8) return;
  const uint4 g = gate_up[r * 2 * (n / 8) + k], u = gate_up[r * 2 * (n / 8) + n / 8 + k];
  const uint32_t gs[4] = {g.x, g.y, g.z, g.w}, us[4] = {u.x, u.y, u.z, u.w};
  uint32_t out[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const __nv_bfloat162 v = __floats2bfloat162_rn(
        gelu_tanh(__uint_as_float(gs[i] << 16)) * __uint_as_float(us[i] << 16),
        gelu_tanh(__uint_as_float(gs[i] & 0xFFFF0000U)) * __uint_as_float(us[i] & 0xFFFF0000U));
    out[i] = reinterpret_cast<const uint32_t&>(v);
  }
  y[r * (cols / 8) + k] = {out[0], out[1], out[2], out[3]};
}

template <typename Y, typename G>
void gate_of(const Device& device, Tensor y, Tensor gate_up) {
  const dim3 grid(static_cast<unsigned>((y.cols + 255) / 256), static_cast<unsigned>(y.rows));
  launch(device, gate_values<Y, G>, grid, dim3(256), 0, static_cast<Y*>(y.data), y.cols,
         static_cast<const G*>(gate_up.data), gate_up.cols / 2);
}

__global__ void cap_values(float* y, int64_t count, float cap) {
  depend_release();
  depend_wait();
  const int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (i < count) y[i] = cap * tanhf(y[i] / cap);
}

}  // namespace

void pad_rows(const Device& device, Tensor x, int64_t stride, void* to) {
  const dim3 grid(static_cast<unsigned>(x.rows)), block(256);
  auto* out = static_cast<__nv_bfloat16*>(to);
  if (x.dtype == DType::kF32)
    launch(device, pad_row<float>, grid, block, 0, static_cast<const float*>(x.data), x.cols, stride, out);
  else if (x.dtype == DType::kF16)
    launch(device, pad_row<__half>, grid, block, 0, static_cast<const __half*>(x.data), x.cols, stride, out);
  else
    launch(device, pad_row<__nv_bfloat16>, grid, block, 0, static_cast<const __nv_bfloat16*>(x.data), x.cols,
           stride, out);
}

void plain_linear(const Device& device, const Segment& s, int64_t stride, Tensor x, float* y,
                  int64_t y_stride) {
  if (s.dtype == DType::kF32)
    dot_of<float>(device, s, stride, x, y, y_stride);
  else if (s.dtype == DType::kF16)
    dot_of<__half>(device, s, stride, x, y, y_stride);
  else
    dot_of<__nv_bfloat16>(device, s, stride, x, y, y_stride);
}

void gate(const Device& device, Tensor y, Tensor gate_up) {
  const bool from_f32 = gate_up.dtype == DType::kF32, to_f32 = y.dtype == DType::kF32;
  if (!from_f32 && !to_f32 && y.cols % 8 == 0 && gate_up.cols % 16 == 0) {
    const dim3 grid(static_cast<unsigned>((y.cols / 8 + 255) / 256), static_cast<unsigned>(y.rows));
    launch(device, gate_bf16, grid, dim3(256), 0, static_cast<uint4*>(y.data), y.cols,
           static_cast<const uint4*>(gate_up.data), gate_up.cols / 2);
    return;
  }
  if (from_f32)
    to_f32 ? gate_of<float, float>(device, y, gate_up) : gate_of<__nv_bfloat16, float>(device, y, gate_up);
  else if (to_f32)
    gate_of<float, __nv_bfloat16>(device, y, gate_up);
  else
    gate_of<__nv_bfloat16, __nv_bfloat16>(device, y, gate_up);
}

void soft_cap(const Device& device, Tensor y, float cap) {
  const int64_t count = y.rows * y.cols;
  launch(device, cap_values, dim3(static_cast<unsigned>((count + 255) / 256)), dim3(256), 0, y.f32(), count,
         cap);
}

}  // namespace tessera::cuda
