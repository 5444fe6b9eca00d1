#pragma once
// A row in the registers of a block: loads, stores, sums.
#include <cuda_bf16.h>

#include <cstdint>

namespace tessera::cuda {

// Sum over the block, the same bits in all threads. `partial`: 32 floats of shared memory at 16 bytes, free
// again behind the block's next barrier. Every thread adds the warps' sums up for itself: reads of one word
// by all cost less than five more shuffles of every warp, which share one port.
__device__ __forceinline__ float block_sum(float v, float* partial) {
  const int lane = threadIdx.x % 32, warps = (blockDim.x + 31) / 32;
#pragma unroll
  for (int o = 16; o > 0; o /= 2) v += __shfl_xor_sync(~0U, v, o);
  if (lane == 0) partial[threadIdx.x / 32] = v;
  if (threadIdx.x >= warps && threadIdx.x < 32) partial[threadIdx.x] = 0;
  __syncthreads();
  v = 0;
  for (int w = 0; w < warps; w += 4) {
    const float4 of = *reinterpret_cast<const float4*>(partial + w);
    v += (of.x + of.y) + (of.z + of.w);
  }
  return v;
}

template <int kVec, int kParts>
struct Row {
  float v[kParts][kVec];

  // f(vector of this thread, its first column)
  template <typename F>
  __device__ static void each(int cols, const F& f) {
#pragma unroll
    for (int p = 0; p < kParts; ++p) {
      const int c = (static_cast<int>(threadIdx.x) + p * static_cast<int>(blockDim.x)) * kVec;
      if (c < cols) f(p, c);
    }
  }
};

template <int kVec>
__device__ __forceinline__ void load(float (&v)[kVec], const float* from) {
  if constexpr (kVec == 4) {
    const float4 t = *reinterpret_cast<const float4*>(from);
    v[0] = t.x, v[1] = t.y, v[2] = t.z, v[3] = t.w;
  } else {
    v[0] = *from;
  }
}

template <int kVec>
__device__ __forceinline__ void store(float* to, const float (&v)[kVec]) {
  if constexpr (kVec == 4)
    *reinterpret_cast<float4*>(to) = make_float4(v[0], v[1], v[2], v[3]);
  else
    *to = v[0];
}

template <int kVec>
__device__ __forceinline__ void store(__nv_bfloat16* to, const float (&v)[kVec]) {
  if constexpr (kVec == 4) {
    const __nv_bfloat162 a = __floats2bfloat162_rn(v[0], v[1]), b = __floats2bfloat162_rn(v[2], v[3]);
    *reinterpret_cast<uint2*>(to) =
        make_uint2(reinterpret_cast<const uint32_t&>(a), reinterpret_cast<const uint32_t&>(b));
  } else {
    *to = __float2bfloat16_rn(v[0]);
  }
}

}  // namespace tessera::cuda
