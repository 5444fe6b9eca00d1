#pragma once
// The digits of x (digits.h), as the kernels that make x write them.
#include <cuda_bf16.h>

#include <cstdint>

#include "backend/cuda/digits.h"

namespace tessera::cuda {

// The digits of 128 inputs by one warp; lane i brings inputs 4i … 4i + 3. `half`: which 128 of the record's
// 256; `with_sums` as in DigitsOut. Inputs that are not finite make the scale so, and with it every product.
// Inverses and products, no quotients: a division of floats is a microsecond's tenth, and a norm waits for
// three.
__device__ __forceinline__ void put_digits(uint8_t* record, int half, const float (&v)[4], int lane,
                                           bool with_sums, bool real = true) {
  uint32_t most = 0;  // bits: the order of floats, NaN above all
#pragma unroll
  for (int i = 0; i < 4; ++i) most = max(most, __float_as_uint(v[i]) & 0x7FFFFFFFU);
  most = __reduce_max_sync(0xFFFFFFFFU, most);
  const bool none = most < __float_as_uint(kLeastScaled);
  const float largest = none ? 0.0F : __uint_as_float(most);
  const float inverse = none ? 0.0F : __fmul_rn(kMostDigits, __frcp_rn(largest));
  const float scale = __fmul_rn(largest, kDigitStep);

  int sum = 0;
  uint32_t h = 0, l = 0;
#pragma unroll
  for (int byte = 0; byte < 4; ++byte) {
    const int x = __float2int_rn(__fmul_rn(v[input_of_byte(byte)], inverse)), high = (x + 64) >> 7;
    sum += x;
    h |= (static_cast<uint32_t>(high) & 0xFFU) << (8 * byte);
    l |= (static_cast<uint32_t>(x - 128 * high) & 0xFFU) << (8 * byte);
  }
  // Inputs 128 half + 4 lane: block of 32 4 half + lane / 8, quad lane / 4 % 2, lane t lane % 4.
  const int at = (2 * half + lane / 16) * 64 + lane % 4 * 16 + lane / 4 % 4 * 4;
  if (real) *reinterpret_cast<uint32_t*>(record + at) = h;
  if (real) *reinterpret_cast<uint32_t*>(record + kChunkCols + at) = l;

  auto* sums = reinterpret_cast<DigitSums*>(record + 2 * kChunkCols) + half;
  if (real && lane == 0) sums->scale = scale;
  if (!with_sums || !real) return;
  sum += __shfl_xor_sync(0xFFFFFFFFU, sum, 1);
  sum += __shfl_xor_sync(0xFFFFFFFFU, sum, 2);
  if (lane % 4 == 0) sums->sum_16[lane / 4] = __fmul_rn(scale, static_cast<float>(sum));
  sum += __shfl_xor_sync(0xFFFFFFFFU, sum, 4);
  const uint32_t most_sum = __reduce_max_sync(0xFFFFFFFFU, static_cast<uint32_t>(sum < 0 ? -sum : sum));
  const float largest_sum = static_cast<float>(static_cast<int>(most_sum));
  const float sum_inverse = most_sum == 0 ? 0.0F : __fmul_rn(kMostDigits, __frcp_rn(largest_sum));
  if (lane % 8 == 0) {
    const int x = __float2int_rn(__fmul_rn(static_cast<float>(sum), sum_inverse)), high = (x + 64) >> 7;
    sums->sum_h[lane / 8] = static_cast<int8_t>(high);
    sums->sum_l[lane / 8] = static_cast<int8_t>(x - 128 * high);
    sums->sum_32[lane / 8] = __fmul_rn(scale, static_cast<float>(sum));
  }
  if (lane == 0) sums->sum_scale = __fmul_rn(scale, __fmul_rn(largest_sum, kDigitStep));
}

// The same of what is kept of v in the type of `To`.
template <typename To>
__device__ __forceinline__ void put_digits_as(uint8_t* record, int half, const float (&v)[4], int lane,
                                              bool with_sums, bool real = true) {
  float kept[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) kept[i] = static_cast<float>(static_cast<To>(v[i]));
  put_digits(record, half, kept, lane, with_sums, real);
}

// Where the digits of a row's inputs 128 i … 128 i + 127 go: record and half.
__device__ __forceinline__ uint8_t* record_of(uint8_t* digits, int64_t row, int64_t stride, int block) {
  return digits + row * digit_bytes(stride) + block / 2 * kRecordBytes;
}

}  // namespace tessera::cuda
