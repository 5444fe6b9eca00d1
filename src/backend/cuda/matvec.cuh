#pragma once
// y[r] = x[r] Wᵀ for 1 … 8 rows: the weights are streamed once, whatever the number of rows.
//
// Weights are the A operand of mma.m16n8k16 (16 outputs), rows of x the B operand (8 columns, the missing
// ones repeat the last row). A block owns neighbouring units (a tile of 16 outputs, or a gate and an up
// tile), its warps equal stretches of (unit, chunk of inputs). Each warp fetches its chunks through a ring of
// its own, without a barrier. The ring is filled before the kernel waits for the one before it, so that
// memory stays busy in between. A unit that several warps share is summed in the order of the warps: bits
// depend on the matrix and the card, not on the rows.
//
// Codes enter as exact integers; a group's float32 sum is multiplied with its scale. A minimum counts with
// the sum of x over its group, which an A operand of ones gives. Activations stay bfloat16: rounded to 8 bits
// for integer products they would lose two bits, and streaming needs half of the issue slots only (4 bits: 36
// instructions for 288 bytes).
#include <algorithm>

#include "backend/cuda/fragments.cuh"
#include "backend/cuda/launch.h"

namespace tessera::cuda {

inline constexpr int kMaxWarps = 8;
inline constexpr int kSlotBytes = 512;  // partial sums of a tile: 32 lanes × 4 float32

__device__ __forceinline__ void copy_async(uint32_t to_shared, const void* from) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(to_shared), "l"(from));
}

// Row-major bfloat16 weights, chunks of 128 inputs.
struct RowsBf16 {
  static constexpr int cols = 128, bytes = kTileRows * cols * 2, stages = 3;

  static __device__ __forceinline__ void fetch(uint32_t to, const MatvecArgs& a, int64_t tile, int chunk,
                                               int lane) {
    const int64_t row_bytes = a.stride * 2;
    const uint8_t* from =
        a.weights + (tile * kTileRows + lane / 4) * row_bytes + chunk * (cols * 2) + lane % 4 * 16;
#pragma unroll
    for (int b = 0; b < 4; ++b)
#pragma unroll
      for (int half = 0; half < 2; ++half)
        copy_async(to + (2 * b + half) * 512 + lane * 16, from + half * 8 * row_bytes + b * 64);
  }

  static __device__ __forceinline__ void add(float (&acc)[4], const uint8_t* chunk, const uint8_t* x,
                                             int lane, uint32_t) {
#pragma unroll
    for (int b = 0; b < 4; ++b) {
      const uint4 u = *reinterpret_cast<const uint4*>(chunk + b * 1024 + lane * 16);
      const uint4 v = *reinterpret_cast<const uint4*>(chunk + b * 1024 + 512 + lane * 16);
      const uint4 xs = *reinterpret_cast<const uint4*>(x + b * 64 + lane % 4 * 16);
      const uint32_t a0[4] = {u.x, v.x, u.y, v.y}, a1[4] = {u.z, v.z, u.w, v.w};
      mma(acc, a0, xs.x, xs.y);
      mma(acc, a1, xs.z, xs.w);
    }
  }
};

template <class F>
struct Chunks {
  static constexpr Form form = F::form;
  static constexpr int cols = kChunkCols, bytes = form.chunk_bytes();
  // About 12 KB a warp: 96 KB on their way hide the latency of memory, and leave room for the next kernel's
  // block.
  static constexpr int stages = bytes > 5000 ? 2 : bytes > 3500 ? 3 : bytes > 2600 ? 4 : 5;

  static __device__ __forceinline__ void fetch(uint32_t to, const MatvecArgs& a, int64_t tile, int chunk,
                                               int lane) {
    const uint8_t* from = a.weights + tile * a.tile_bytes + int64_t{chunk} * bytes;
#pragma unroll
    for (int i = 0; i < bytes / 16; i += 32)
      if (i + lane < bytes / 16) copy_async(to + (i + lane) * 16, from + (i + lane) * 16);
  }

  static __device__ __forceinline__ void add(float (&acc)[4], const uint8_t* chunk, const uint8_t* x,
                                             int lane, uint32_t zero_pair) {
    constexpr uint32_t ones[4] = {0x3F803F80U, 0x3F803F80U, 0x3F803F80U, 0x3F803F80U};
    const int g = lane / 4, t = lane % 4;
    const Supers supers = open_supers<F>(chunk, g);
#pragma unroll
    for (int part = 0; part < 4; ++part) {
      uint32_t a[2][2][4];
      open_codes<F>(chunk, part, lane, zero_pair, a);
      float scale[F::groups][2], min[F::groups][2];
      open_groups<F>(chunk, part, g, supers, scale, min);
      float sum[F::groups][4] = {}, x_sum[F::groups][4] = {};
#pragma unroll
      for (int b = 0; b < 2; ++b) {
        uint32_t xb[4];
        const uint8_t* at = x + part * 128 + b * 64;
        if constexpr (form.group == 16) {
          const uint2 lo = *reinterpret_cast<const uint2*>(at + t * 8);
          const uint2 hi = *reinterpret_cast<const uint2*>(at + 32 + t * 8);
          xb[0] = lo.x, xb[1] = lo.y, xb[2] = hi.x, xb[3] = hi.y;
        } else {
          const uint4 v = *reinterpret_cast<const uint4*>(at + t * 16);
          xb[0] = v.x, xb[1] = v.y, xb[2] = v.z, xb[3] = v.w;
        }
#pragma unroll
        for (int m = 0; m < 2; ++m) {
          const int group = (b * 32 + m * 16) / form.group;
          mma(sum[group], a[b][m], xb[2 * m], xb[2 * m + 1]);
          if constexpr (form.has_min) mma(x_sum[group], ones, xb[2 * m], xb[2 * m + 1]);
        }
      }
#pragma unroll
      for (int i = 0; i < F::groups; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          acc[j] = fmaf(scale[i][j / 2], sum[i][j], acc[j]);
          if constexpr (form.has_min) acc[j] = fmaf(min[i][j / 2], x_sum[i][j], acc[j]);
        }
    }
  }
};

__device__ __forceinline__ float gelu_tanh(float v) {
  return 0.5F * v * (1.0F + tanhf(0.7978845608028654F * (v + 0.044715F * v * v * v)));
}

// Sums of one unit to y. Lane 4g + t holds outputs g and g + 8 of rows 2t and 2t + 1.
template <bool kGated>
__device__ __forceinline__ void store(const MatvecArgs& a, int unit, const float (&acc)[kGated ? 2 : 1][4],
                                      int lane) {
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    const int row = lane % 4 * 2 + j % 2;
    const int64_t output = int64_t{unit} * kTileRows + lane / 4 + j / 2 * 8;
    if (row >= a.rows || output >= a.outputs) continue;
    const int64_t at = row * a.y_stride + output;
    if constexpr (kGated) {
      const float v = gelu_tanh(acc[0][j]) * acc[1][j];
      if (a.y_f32)
        static_cast<float*>(a.y)[at] = v;
      else
        static_cast<__nv_bfloat16*>(a.y)[at] = __float2bfloat16(v);
    } else {
      static_cast<float*>(a.y)[at] = a.cap > 0 ? a.cap * tanhf(acc[0][j] / a.cap) : acc[0][j];
    }
  }
}

// Shared memory: rings of the warps, two slots of partial sums for each warp, x [rows][stride + 32].
template <class C, bool kGated>
__global__ void __launch_bounds__(kMaxWarps * 32) matvec(const MatvecArgs a) {
  constexpr int kHalves = kGated ? 2 : 1;
  extern __shared__ __align__(128) uint8_t shared[];
  depend_release();
  const int warps = static_cast<int>(blockDim.x) / 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  uint8_t* ring = shared + warp * C::stages * C::bytes;
  float4* slots = reinterpret_cast<float4*>(shared + warps * C::stages * C::bytes);  // [warp][2][half][lane]
  uint8_t* xs = reinterpret_cast<uint8_t*>(slots) + warps * 2 * kHalves * kSlotBytes;
  const auto ring_at = static_cast<uint32_t>(__cvta_generic_to_shared(ring));

  const int chunks = static_cast<int>(a.stride / C::cols);
  const int block = static_cast<int>(blockIdx.x), blocks = static_cast<int>(gridDim.x);
  const int first_unit = static_cast<int>(int64_t{a.units} * block / blocks);
  const int steps = (static_cast<int>(int64_t{a.units} * (block + 1) / blocks) - first_unit) * chunks;
  const auto begin_of = [&](int w) { return static_cast<int>(int64_t{steps} * w / warps); };
  const int begin = begin_of(warp), end = begin_of(warp + 1);

  int next_unit = first_unit + begin / chunks, next_chunk = begin % chunks, next_half = 0;
  int fetch_stage = 0, left = (end - begin) * kHalves;
  const auto fetch = [&] {
    if (left > 0) {
      --left;
      C::fetch(ring_at + fetch_stage * C::bytes, a, next_unit + (next_half != 0 ? a.up_tiles : 0), next_chunk,
               lane);
      if (++next_half == kHalves) {
        next_half = 0;
        if (++next_chunk == chunks) next_chunk = 0, ++next_unit;
      }
    }
    fetch_stage = fetch_stage + 1 == C::stages ? 0 : fetch_stage + 1;
    asm volatile("cp.async.commit_group;" ::: "memory");
  };
#pragma unroll
  for (int i = 0; i < C::stages; ++i) fetch();

  depend_wait();
  const int x_bytes = static_cast<int>(a.stride) * 2 + 64;  // 64: rows of neighbouring lanes in other banks
  {
    const int vectors = static_cast<int>(a.stride) / 8, all = vectors * a.rows;
    const uint4* from = static_cast<const uint4*>(a.x);
#pragma unroll 4
    for (int i = static_cast<int>(threadIdx.x); i < all; i += static_cast<int>(blockDim.x))
      *reinterpret_cast<uint4*>(xs + i / vectors * x_bytes + i % vectors * 16) = from[i];
  }
  __syncthreads();

  const uint8_t* x_row = xs + min(lane / 4, a.rows - 1) * x_bytes;
  float acc[kHalves][4] = {};
  int unit = first_unit + begin / chunks, chunk = begin % chunks, stage = 0;
  bool from_start = chunk == 0;
  const auto flush = [&](bool whole) {
    if (from_start && whole) {
      store<kGated>(a, unit, acc, lane);
    } else {
#pragma unroll
      for (int h = 0; h < kHalves; ++h)
        slots[((warp * 2 + (from_start ? 1 : 0)) * kHalves + h) * 32 + lane] =
            make_float4(acc[h][0], acc[h][1], acc[h][2], acc[h][3]);
    }
  };
  for (int step = begin; step < end; ++step) {
#pragma unroll
    for (int h = 0; h < kHalves; ++h) {
      asm volatile("cp.async.wait_group %0;" ::"n"(C::stages - 1) : "memory");
      __syncwarp();  // other lanes fetched parts of this chunk
      C::add(acc[h], ring + stage * C::bytes, x_row + chunk * (C::cols * 2), lane, a.zero_pair);
      __syncwarp();  // all have read it
      fetch();
      stage = stage + 1 == C::stages ? 0 : stage + 1;
    }
    if (++chunk == chunks) {
      flush(true);
#pragma unroll
      for (int h = 0; h < kHalves; ++h)
#pragma unroll
        for (int j = 0; j < 4; ++j) acc[h][j] = 0;
      chunk = 0, ++unit, from_start = true;
    }
  }
  if (begin < end && chunk != 0) flush(false);
  __syncthreads();

  // The warp that began a unit and did not end it adds what the next ones have of it.
  if (begin == end || chunk == 0 || !from_start) return;
  const int unit_end = (unit - first_unit + 1) * chunks;
  for (int w = warp + 1; w < warps && begin_of(w) < unit_end; ++w) {
    if (begin_of(w) == begin_of(w + 1)) continue;
#pragma unroll
    for (int h = 0; h < kHalves; ++h) {
      const float4 v = slots[((w * 2) * kHalves + h) * 32 + lane];
      acc[h][0] += v.x, acc[h][1] += v.y, acc[h][2] += v.z, acc[h][3] += v.w;
    }
  }
  store<kGated>(a, unit, acc, lane);
}

// Splits rows that do not fit in shared memory beside the rings into several passes.
template <class C, bool kGated>
void launch_matvec(const Device& device, int shared_limit, MatvecArgs a) {
  int warps = kMaxWarps, fit = 0;
  const auto fixed = [&] { return warps * (C::stages * C::bytes + 2 * (kGated ? 2 : 1) * kSlotBytes); };
  const int x_bytes = static_cast<int>(a.stride) * 2 + 64;
  // Cards with 99 KB of it: fewer warps.
  while ((fit = (shared_limit - fixed()) / x_bytes) < 1 && warps > 1) warps /= 2;
  fit = std::max(fit, 1);  // too wide even so: the launch says it
  const int all = a.rows;
  const dim3 grid(static_cast<unsigned>(std::min(a.units, device.multiprocessors())));
  for (int first = 0; first < all; first += fit) {
    MatvecArgs part = a;
    part.rows = std::min(fit, all - first);
    part.x = static_cast<const __nv_bfloat16*>(a.x) + first * a.stride;
    part.y = static_cast<uint8_t*>(a.y) + first * a.y_stride * (kGated && !a.y_f32 ? 2 : 4);
    launch(device, matvec<C, kGated>, grid, dim3(static_cast<unsigned>(warps * 32)),
           static_cast<size_t>(fixed() + part.rows * x_bytes), part);
  }
}

}  // namespace tessera::cuda
