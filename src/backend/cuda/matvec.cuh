#pragma once
// y[r] = x[r] Wᵀ for 1 … 8 rows: the weights are streamed once, whatever the number of rows.
//
// Weights are the A operand of mma.m16n8k16 (16 outputs), rows of x the B operand (8 columns, the missing
// ones repeat the last row). A block owns neighbouring units (a tile of 16 outputs, or a gate and an up
// tile), its warps equal stretches of (unit, chunk of inputs). Each warp fetches its chunks through a ring of
// its own, without a barrier, and asks the second-level cache for what comes after. All that begins before
// the kernel waits for the one before it, so that memory stays busy in between. A unit that several warps
// share is summed in the order of the warps: bits depend on the matrix and the card, not on the rows.
//
// Codes enter as exact integers; a group's float32 sum is multiplied with its scale. Codes under 8 bits enter
// as 128 + code, and the sum starts at -(128 + zero) times the group's sum of x; the same sum counts with a
// minimum. Activations stay bfloat16: rounded to 8 bits for integer products they would lose accuracy, and
// the tensor cores wait anyway.
#include <algorithm>

#include "backend/cuda/fragments.cuh"
#include "backend/cuda/launch.h"

namespace tessera::cuda {

inline constexpr int kSlotBytes = 512;  // partial sums of a tile: 32 lanes × 4 float32
#ifndef TS_WARPS4
#define TS_WARPS4 16
#define TS_WARPS8 12
#define TS_WARPSB 16
#define TS_RING 100
#define TS_AHEAD 0
#define TS_LATE 1
#endif
inline constexpr int kRingBytes = TS_RING * 1024;
inline constexpr int kAheadBytes = TS_AHEAD * 1024;

__device__ __forceinline__ void copy_async(uint32_t to_shared, const void* from) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(to_shared), "l"(from));
}

__device__ __forceinline__ void ask_cache(const void* from, int bytes) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(from), "r"(bytes));
#endif
}

constexpr int stages_of(int warps, int bytes) {
  return std::max(2, kRingBytes / (warps * bytes));
}

// Row-major bfloat16 weights, chunks of 128 inputs.
struct RowsBf16 {
  static constexpr int cols = 128, bytes = kTileRows * cols * 2, warps = TS_WARPSB,
                       stages = stages_of(warps, bytes);
  static constexpr int sum_cols = 0;  // inputs of a sum of x; 0: none are needed
  static constexpr int step = cols * 2;

  static __device__ __forceinline__ int64_t lane_at(const MatvecArgs& a, int lane) {
    return lane / 4 * a.stride * 2 + lane % 4 * 16;
  }
  static __device__ __forceinline__ void fetch(uint32_t to, const uint8_t* from, const MatvecArgs& a,
                                               int lane) {
    const int64_t row_bytes = a.stride * 2;
    from += lane / 4 * row_bytes + lane % 4 * 16;
#pragma unroll
    for (int b = 0; b < 4; ++b)
#pragma unroll
      for (int half = 0; half < 2; ++half)
        copy_async(to + (2 * b + half) * 512 + lane * 16, from + half * 8 * row_bytes + b * 64);
  }
  static __device__ __forceinline__ void ask(const uint8_t* from, const MatvecArgs& a, int lane) {
    if (lane < kTileRows) ask_cache(from + lane * a.stride * 2, cols * 2);
  }

  static __device__ __forceinline__ void add(float (&acc)[4], const uint8_t* chunk, const uint8_t* x,
                                             const uint8_t*, int lane) {
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
  static constexpr int warps = form.bits == 8 ? TS_WARPS8 : TS_WARPS4, stages = stages_of(warps, bytes);
  static constexpr int sum_cols = form.bits == 8 && !form.has_min ? 0 : form.group == 16 ? 16 : 32;
  static constexpr int step = bytes;

  static __device__ __forceinline__ void fetch(uint32_t to, const uint8_t* from, const MatvecArgs&,
                                               int lane) {
#pragma unroll
    for (int i = 0; i < bytes / 16; i += 32)
      if (i + lane < bytes / 16) copy_async(to + (i + lane) * 16, from + (i + lane) * 16);
  }
  static __device__ __forceinline__ void ask(const uint8_t* from, const MatvecArgs&, int lane) {
    if (lane == 0) ask_cache(from, bytes);
  }

  // sums: of lane t's two rows, [cols / sum_cols] × (row 2t, row 2t + 1, and again).
  static __device__ __forceinline__ void add(float (&acc)[4], const uint8_t* chunk, const uint8_t* x,
                                             const uint8_t* sums, int lane) {
    const int g = lane / 4, t = lane % 4;
    Supers supers = open_supers<F>(chunk, g);
    // The sums are times -128 there; a power of two, so nothing is lost.
    supers.min.x *= -1.0F / 128, supers.min.y *= -1.0F / 128;
#pragma unroll
    for (int part = 0; part < 4; ++part) {
      uint32_t a[2][2][4];
      open_codes<F, false>(chunk, part, lane, 0, a);
      float scale[F::groups][2], min[F::groups][2];
      open_groups<F>(chunk, part, g, supers, scale, min);
      if constexpr (form.has_min && !form.super())
#pragma unroll
        for (int i = 0; i < F::groups; ++i) min[i][0] *= -1.0F / 128, min[i][1] *= -1.0F / 128;
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
        constexpr int kPieces = form.group == 16 ? 2 : 1;  // sums of 32 inputs
#pragma unroll
        for (int piece = 0; piece < kPieces; ++piece) {
          float4 start = {0, 0, 0, 0};
          if constexpr (sum_cols != 0)
            start = *reinterpret_cast<const float4*>(sums + ((part * 2 + b) * kPieces + piece) * 16);
          float sum[4] = {};
          if constexpr (form.bits < 8) sum[0] = start.x, sum[1] = start.y, sum[2] = start.z, sum[3] = start.w;
          if constexpr (kPieces == 2) {
            mma(sum, a[b][piece], xb[2 * piece], xb[2 * piece + 1]);
          } else {
            mma(sum, a[b][0], xb[0], xb[1]);
            mma(sum, a[b][1], xb[2], xb[3]);
          }
          const int group = (b * 32 + piece * 16) / form.group;
          const float starts[4] = {start.x, start.y, start.z, start.w};
#pragma unroll
          for (int j = 0; j < 4; ++j) {
            acc[j] = fmaf(scale[group][j / 2], sum[j], acc[j]);
            if constexpr (form.has_min) acc[j] = fmaf(min[group][j / 2], starts[j], acc[j]);
          }
        }
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

// Bytes of shared memory for x and its sums.
template <class C>
constexpr int x_bytes_of(int64_t stride, int rows) {
  const int sums = C::sum_cols == 0 ? 0 : static_cast<int>(stride) / C::sum_cols * 16;
  return rows * (static_cast<int>(stride) * 2 + 64) + (rows + 1) / 2 * sums;
}

// x to shared memory [rows][stride + 32], and sums of x times `factor`: [row pair][stride / sum_cols] × (even
// row, odd row, and again).
template <class C>
__device__ __forceinline__ void take_x(const MatvecArgs& a, uint8_t* xs, uint8_t* sums) {
  const int vectors = static_cast<int>(a.stride) / 8, all = vectors * a.rows, row_bytes = vectors * 16 + 64;
  const uint4* from = static_cast<const uint4*>(a.x);
#pragma unroll 4
  for (int i = static_cast<int>(threadIdx.x); i < all; i += static_cast<int>(blockDim.x)) {
    const int row = i / vectors, at = i - row * vectors;
    const uint4 v = from[i];
    *reinterpret_cast<uint4*>(xs + row * row_bytes + at * 16) = v;
    if constexpr (C::sum_cols != 0) {
      float sum = 0;
      for (const uint32_t w : {v.x, v.y, v.z, v.w})
        sum += __uint_as_float(w << 16) + __uint_as_float(w & 0xFFFF0000U);
      sum += __shfl_xor_sync(0xFFFFFFFFU, sum, 1);  // rows are whole warps
      if constexpr (C::sum_cols == 32) sum += __shfl_xor_sync(0xFFFFFFFFU, sum, 2);
      if (at % (C::sum_cols / 8) == 0) {
        auto* to = reinterpret_cast<float*>(sums) +
                   (row / 2 * (vectors * 8 / C::sum_cols) + at * 8 / C::sum_cols) * 4 + row % 2;
        to[0] = to[2] = sum * a.factor;
      }
    }
  }
}

// Shared memory: rings of the warps, a slot of partial sums for each warp, x and its sums.
template <class C, bool kGated>
__global__ void __launch_bounds__(C::warps * 32) matvec(const MatvecArgs a) {
  constexpr int kHalves = kGated ? 2 : 1;
  constexpr int kAhead = kAheadBytes / (C::warps * C::bytes * kHalves);  // steps
  extern __shared__ __align__(128) uint8_t shared[];
  if (!TS_LATE) depend_release();
  const int warps = static_cast<int>(blockDim.x) / 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  uint8_t* ring = shared + warp * C::stages * C::bytes;
  float4* slots = reinterpret_cast<float4*>(shared + warps * C::stages * C::bytes);  // [warp][half][lane]
  uint8_t* xs = reinterpret_cast<uint8_t*>(slots) + warps * kHalves * kSlotBytes;
  uint8_t* sums = xs + a.rows * (static_cast<int>(a.stride) * 2 + 64);
  const auto ring_at = static_cast<uint32_t>(__cvta_generic_to_shared(ring));

  const int chunks = static_cast<int>(a.stride / C::cols);
  const int block = static_cast<int>(blockIdx.x), blocks = static_cast<int>(gridDim.x);
  const int first_unit = static_cast<int>(int64_t{a.units} * block / blocks);
  const int steps = (static_cast<int>(int64_t{a.units} * (block + 1) / blocks) - first_unit) * chunks;
  const auto begin_of = [&](int w) { return static_cast<int>(int64_t{steps} * w / warps); };
  const int begin = begin_of(warp), end = begin_of(warp + 1);

  // Where the fetches and the questions to the cache are: address of the (gate) chunk, chunks to the end of
  // its tile.
  struct Place {
    const uint8_t* at;
    int left;
  };
  const int64_t up_bytes = a.up_tiles * a.tile_bytes, skip = a.tile_bytes - int64_t{chunks} * C::step;
  const auto place_of = [&](int step) {
    const int unit = step / chunks, chunk = step - unit * chunks;
    return Place{a.weights + (first_unit + unit) * a.tile_bytes + int64_t{chunk} * C::step, chunks - chunk};
  };
  const auto advance = [&](Place& p) {
    p.at += C::step;
    if (--p.left == 0) p.at += skip, p.left = chunks;
  };
  Place next = place_of(begin), ahead = place_of(begin);
  int half_next = 0, left = end - begin, left_ahead = end - begin, stage_next = 0;
  const auto ask = [&] {
    if (kAhead == 0 || left_ahead <= 0) return;
    --left_ahead;
    C::ask(ahead.at, a, lane);
    if constexpr (kGated) C::ask(ahead.at + up_bytes, a, lane);
    advance(ahead);
  };
  const auto fetch = [&] {
    if (left > 0) {
      C::fetch(ring_at + stage_next * C::bytes, next.at + (half_next != 0 ? up_bytes : 0), a, lane);
      if (++half_next == kHalves) {
        half_next = 0;
        advance(next);
        ask();
        if (--left == 0 && TS_LATE) depend_release();
      }
    }
    stage_next = stage_next + 1 == C::stages ? 0 : stage_next + 1;
    asm volatile("cp.async.commit_group;" ::: "memory");
  };
  if (left == 0 && TS_LATE) depend_release();
  if constexpr (kAhead > 0) {
    constexpr int kFirst = (C::stages + kHalves - 1) / kHalves;  // fetched at once, not asked for
    for (int i = 0; i < kFirst && left_ahead > 0; ++i) --left_ahead, advance(ahead);
  }
#pragma unroll
  for (int i = 0; i < C::stages; ++i) fetch();
  if constexpr (kAhead > 0)
    for (int i = 0; i < kAhead; ++i) ask();

  depend_wait();
  take_x<C>(a, xs, sums);
  __syncthreads();

  const int t = lane % 4;
  const uint8_t* x_row = xs + min(lane / 4, a.rows - 1) * (static_cast<int>(a.stride) * 2 + 64);
  constexpr int kSumStep =
      C::sum_cols == 0 ? 0 : C::cols / (C::sum_cols == 0 ? 1 : C::sum_cols) * 16;  // of a chunk
  const uint8_t* x_sums = sums + min(t, (a.rows - 1) / 2) * chunks * kSumStep;
  float acc[kHalves][4] = {};
  int unit = first_unit + begin / chunks, chunk = begin % chunks, stage = 0;
  bool from_start = chunk == 0;
  for (int step = begin; step < end; ++step) {
#pragma unroll
    for (int h = 0; h < kHalves; ++h) {
      asm volatile("cp.async.wait_group %0;" ::"n"(C::stages - 1) : "memory");
      __syncwarp();  // other lanes fetched parts of this chunk
      C::add(acc[h], ring + stage * C::bytes, x_row + chunk * (C::cols * 2), x_sums + chunk * kSumStep, lane);
      __syncwarp();  // all have read it
      fetch();
      stage = stage + 1 == C::stages ? 0 : stage + 1;
    }
    if (++chunk < chunks && step + 1 < end) continue;
    if (from_start && chunk < chunks) break;  // its last unit, which the next warps end
    if (from_start) {
      store<kGated>(a, unit, acc, lane);
    } else {
#pragma unroll
      for (int h = 0; h < kHalves; ++h)
        slots[(warp * kHalves + h) * 32 + lane] = make_float4(acc[h][0], acc[h][1], acc[h][2], acc[h][3]);
    }
#pragma unroll
    for (int h = 0; h < kHalves; ++h)
#pragma unroll
      for (int j = 0; j < 4; ++j) acc[h][j] = 0;
    chunk = 0, ++unit, from_start = true;
  }
  __syncthreads();

  // The warp that began a unit and did not end it adds what the next ones have of it.
  if (begin == end || chunk == 0) return;
  const int unit_end = (unit - first_unit + 1) * chunks;
  for (int w = warp + 1; w < warps && begin_of(w) < unit_end; ++w) {
    if (begin_of(w) == begin_of(w + 1)) continue;
#pragma unroll
    for (int h = 0; h < kHalves; ++h) {
      const float4 v = slots[(w * kHalves + h) * 32 + lane];
      acc[h][0] += v.x, acc[h][1] += v.y, acc[h][2] += v.z, acc[h][3] += v.w;
    }
  }
  store<kGated>(a, unit, acc, lane);
}

// Splits rows that do not fit in shared memory beside the rings into several passes.
template <class C, bool kGated>
void launch_matvec(const Device& device, int shared_limit, MatvecArgs a) {
  int warps = C::warps;
  const auto fixed = [&] { return warps * (C::stages * C::bytes + (kGated ? 2 : 1) * kSlotBytes); };
  const auto fits = [&](int rows) { return fixed() + x_bytes_of<C>(a.stride, rows) <= shared_limit; };
  while (!fits(1) && warps > 1) warps /= 2;  // cards with 99 KB of it
  int most = a.rows;
  while (most > 1 && !fits(most)) --most;
  const int all = a.rows;
  const dim3 grid(static_cast<unsigned>(std::min(a.units, device.multiprocessors())));
  for (int first = 0; first < all; first += most) {
    MatvecArgs part = a;
    part.rows = std::min(most, all - first);
    part.x = static_cast<const __nv_bfloat16*>(a.x) + first * a.stride;
    part.y = static_cast<uint8_t*>(a.y) + first * a.y_stride * (kGated && !a.y_f32 ? 2 : 4);
    launch(device, matvec<C, kGated>, grid, dim3(static_cast<unsigned>(warps * 32)),
           static_cast<size_t>(fixed() + x_bytes_of<C>(a.stride, part.rows)), part);
  }
}

}  // namespace tessera::cuda
