#pragma once
// y[r] = x[r] Wᵀ for 1 … 8 rows: the weights are streamed once, whatever the number of rows.
//
// Weights are the A operand of mma.m16n8k16 (16 outputs), rows of x the B operand (8 columns, the missing
// ones repeat the last row). A block owns neighbouring units (one tile of 16 outputs or two, or a gate and an
// up tile), its warps equal stretches of (unit, chunk of inputs). Each warp fetches its chunks through a ring
// of its own, without a barrier. The rings are filled before the kernel waits for the one before it, so that
// memory stays busy in between. A unit that several warps share is summed in the order of the warps: bits
// depend on the matrix and the card, not on the rows.
//
// Codes enter as exact integers; a group's float32 sum is multiplied with its scale. Codes under 8 bits enter
// as 128 + code, and the sum starts at -(128 + zero) times the group's sum of x; the same sum counts with a
// minimum. Two tiles at once share what is read of x. Activations stay bfloat16: rounded to 8 bits for
// integer products they would lose accuracy, and opening codes takes the issue slots, not the tensor cores.
#include <algorithm>

#include "backend/cuda/fragments.cuh"
#include "backend/cuda/launch.h"

namespace tessera::cuda {

inline constexpr int kSlotBytes = 512;  // partial sums of a tile: 32 lanes × 4 float32
// Warps of a block, chunks in each ring. About 96 KB on their way keep the memory busy (76: 5 % slower; more:
// no faster), and four rows of 15,360 inputs still fit beside them. Asking the second-level cache for what
// comes after the rings (cp.async.bulk.prefetch) was 10 to 25 % slower.
inline constexpr int kPairWarps = 9, kPairStages = 4;
inline constexpr int kWarps = 8, kStages = 3;

__device__ __forceinline__ void copy_async(uint32_t to_shared, const void* from) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(to_shared), "l"(from));
}

// Row-major bfloat16 weights, chunks of 128 inputs.
struct RowsBf16 {
  static constexpr int cols = 128, bytes = kTileRows * cols * 2, warps = kWarps, stages = kStages;
  static constexpr int sum_cols = 0;  // inputs of a sum of x; 0: none are needed
  static constexpr int step = cols * 2;
  static constexpr bool pairs = false;  // tiles of a product are computed two at once

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

  static __device__ __forceinline__ void add(float (&acc)[1][4], const uint8_t* const (&chunk)[1],
                                             const uint8_t* x, const uint8_t*, int lane) {
    uint4 u[4], v[4], xs[4];
#pragma unroll
    for (int b = 0; b < 4; ++b) {
      u[b] = *reinterpret_cast<const uint4*>(chunk[0] + b * 1024 + lane * 16);
      v[b] = *reinterpret_cast<const uint4*>(chunk[0] + b * 1024 + 512 + lane * 16);
      xs[b] = *reinterpret_cast<const uint4*>(x + b * 64 + lane % 4 * 16);
    }
#pragma unroll
    for (int b = 0; b < 4; ++b) {
      const uint32_t a0[4] = {u[b].x, v[b].x, u[b].y, v[b].y}, a1[4] = {u[b].z, v[b].z, u[b].w, v[b].w};
      mma(acc[0], a0, xs[b].x, xs[b].y);
      mma(acc[0], a1, xs[b].z, xs[b].w);
    }
  }
};

template <class F>
struct Chunks {
  static constexpr Form form = F::form;
  static constexpr int cols = kChunkCols, bytes = form.chunk_bytes();
  static constexpr bool pairs = form.bits < 8;
  static constexpr int warps = pairs ? kPairWarps : kWarps, stages = pairs ? kPairStages : kStages;
  static constexpr int sum_cols = form.bits == 8 && !form.has_min ? 0 : form.group == 16 ? 16 : 32;
  static constexpr int step = bytes;

  static __device__ __forceinline__ void fetch(uint32_t to, const uint8_t* from, const MatvecArgs&,
                                               int lane) {
#pragma unroll
    for (int i = 0; i < bytes / 16; i += 32)
      if (i + lane < bytes / 16) copy_async(to + (i + lane) * 16, from + (i + lane) * 16);
  }

  // Chunks of one or two tiles with the same inputs. sums: of lane t's two rows, [cols / sum_cols] × (row 2t,
  // row 2t + 1).
  template <int kTiles>
  static __device__ __forceinline__ void add(float (&acc)[kTiles][4], const uint8_t* const (&chunk)[kTiles],
                                             const uint8_t* x, const uint8_t* sums, int lane) {
    const int g = lane / 4, t = lane % 4;
    Supers supers[kTiles];
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      supers[i] = open_supers<F>(chunk[i], g);
      // The sums are times -128 there; a power of two, so nothing is lost.
      supers[i].min.x *= -1.0F / 128, supers[i].min.y *= -1.0F / 128;
    }
#pragma unroll
    for (int part = 0; part < 4; ++part) {
      uint32_t xb[2][4];
      constexpr int kPieces = form.group == 16 ? 2 : 1;  // sums of 32 inputs
      float2 start[2][kPieces] = {};
#pragma unroll
      for (int b = 0; b < 2; ++b) {
        const uint8_t* at = x + part * 128 + b * 64;
        const uint2 lo = *reinterpret_cast<const uint2*>(at + t * 8);
        const uint2 hi = *reinterpret_cast<const uint2*>(at + 32 + t * 8);
        xb[b][0] = lo.x, xb[b][1] = lo.y, xb[b][2] = hi.x, xb[b][3] = hi.y;
        if constexpr (sum_cols != 0)
#pragma unroll
          for (int piece = 0; piece < kPieces; ++piece)
            start[b][piece] = *reinterpret_cast<const float2*>(sums + ((part * 2 + b) * kPieces + piece) * 8);
      }
      uint32_t a[kTiles][2][2][4];
      float scale[kTiles][F::groups][2], min[kTiles][F::groups][2];
#pragma unroll
      for (int i = 0; i < kTiles; ++i) {
        open_codes<F, false>(chunk[i], part, lane, 0, a[i]);
        open_groups<F>(chunk[i], part, g, supers[i], scale[i], min[i]);
        if constexpr (form.has_min && !form.super())
#pragma unroll
          for (int j = 0; j < F::groups; ++j) min[i][j][0] *= -1.0F / 128, min[i][j][1] *= -1.0F / 128;
      }
#pragma unroll
      for (int b = 0; b < 2; ++b)
#pragma unroll
        for (int piece = 0; piece < kPieces; ++piece) {
          const float2 from = start[b][piece];
          const int group = (b * 32 + piece * 16) / form.group;
#pragma unroll
          for (int i = 0; i < kTiles; ++i) {
            float sum[4] = {};
            if constexpr (form.bits < 8) sum[0] = sum[2] = from.x, sum[1] = sum[3] = from.y;
            if constexpr (kPieces == 2) {
              mma(sum, a[i][b][piece], xb[b][2 * piece], xb[b][2 * piece + 1]);
            } else {
              mma(sum, a[i][b][0], xb[b][0], xb[b][1]);
              mma(sum, a[i][b][1], xb[b][2], xb[b][3]);
            }
#pragma unroll
            for (int j = 0; j < 4; ++j) {
              acc[i][j] = fmaf(scale[i][group][j / 2], sum[j], acc[i][j]);
              if constexpr (form.has_min)
                acc[i][j] = fmaf(min[i][group][j / 2], j % 2 == 0 ? from.x : from.y, acc[i][j]);
            }
          }
        }
    }
  }
};

// Sums of one unit to y. Lane 4g + t holds outputs g and g + 8 of rows 2t and 2t + 1.
template <bool kGated, int kTiles>
__device__ __forceinline__ void store(const MatvecArgs& a, int unit, const float (&acc)[kTiles][4],
                                      int lane) {
  constexpr int kOutputs = kGated ? 1 : kTiles;  // tiles of y
#pragma unroll
  for (int i = 0; i < kOutputs; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int row = lane % 4 * 2 + j % 2;
      const int64_t output = (int64_t{unit} * kOutputs + i) * kTileRows + lane / 4 + j / 2 * 8;
      if (row >= a.rows || output >= a.outputs) continue;
      const int64_t at = row * a.y_stride + output;
      if constexpr (kGated) {
        const float v = gelu_tanh(acc[0][j]) * acc[1][j];
        if (a.y_f32)
          static_cast<float*>(a.y)[at] = v;
        else
          static_cast<__nv_bfloat16*>(a.y)[at] = __float2bfloat16(v);
      } else {
        static_cast<float*>(a.y)[at] = a.cap > 0 ? a.cap * tanhf(acc[i][j] / a.cap) : acc[i][j];
      }
    }
}

// Bytes of shared memory for x and its sums.
template <class C>
constexpr int x_bytes_of(int64_t stride, int rows) {
  const int sums = C::sum_cols == 0 ? 0 : static_cast<int>(stride) / C::sum_cols * 8;
  return rows * (static_cast<int>(stride) * 2 + 64) + (rows + 1) / 2 * sums;
}

// x to shared memory [rows][stride + 32], and sums of x times `factor`: [row pair][stride / sum_cols] × (even
// row, odd row).
template <class C>
__device__ __forceinline__ void take_x(const MatvecArgs& a, uint8_t* xs, uint8_t* sums) {
  constexpr int kAtOnce = 4;
  const int vectors = static_cast<int>(a.stride) / 8, all = vectors * a.rows, row_bytes = vectors * 16 + 64;
  const int threads = static_cast<int>(blockDim.x);
  const uint4* from = static_cast<const uint4*>(a.x);
  int row = 0, at = static_cast<int>(threadIdx.x);  // of the next vector
  for (int first = at; first < all; first += kAtOnce * threads) {
    uint4 v[kAtOnce];
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j)
      if (first + j * threads < all) v[j] = from[first + j * threads];
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j) {
      // The same for a whole warp: rows are multiples of 32 vectors where sums are taken.
      if (first + j * threads >= all) break;
      while (at >= vectors) at -= vectors, ++row;
      *reinterpret_cast<uint4*>(xs + row * row_bytes + at * 16) = v[j];
      if constexpr (C::sum_cols != 0) {
        float sum = 0;
        for (const uint32_t w : {v[j].x, v[j].y, v[j].z, v[j].w})
          sum += __uint_as_float(w << 16) + __uint_as_float(w & 0xFFFF0000U);
        sum += __shfl_xor_sync(0xFFFFFFFFU, sum, 1);
        if constexpr (C::sum_cols == 32) sum += __shfl_xor_sync(0xFFFFFFFFU, sum, 2);
        constexpr int kVectors = C::sum_cols / 8;  // of a sum
        const int pair = row / 2 * (vectors / kVectors) + at / kVectors;
        if (at % kVectors == 0) reinterpret_cast<float*>(sums)[pair * 2 + row % 2] = sum * a.factor;
      }
      at += threads;
    }
  }
}

// Shared memory: rings of the warps, a slot of partial sums for each warp, x and its sums.
template <class C, bool kGated>
__global__ void __launch_bounds__(C::warps * 32) matvec(const MatvecArgs a) {
  constexpr int kTiles = kGated || C::pairs ? 2 : 1;  // of a unit
  constexpr int kAtOnce = C::pairs ? 2 : 1;
  extern __shared__ __align__(128) uint8_t shared[];
  const int warps = static_cast<int>(blockDim.x) / 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  uint8_t* ring = shared + warp * C::stages * C::bytes;
  float4* slots = reinterpret_cast<float4*>(shared + warps * C::stages * C::bytes);  // [warp][tile][lane]
  uint8_t* xs = reinterpret_cast<uint8_t*>(slots) + warps * kTiles * kSlotBytes;
  uint8_t* sums = xs + a.rows * (static_cast<int>(a.stride) * 2 + 64);
  const auto ring_at = static_cast<uint32_t>(__cvta_generic_to_shared(ring));

  const int chunks = static_cast<int>(a.stride / C::cols);
  const int block = static_cast<int>(blockIdx.x), blocks = static_cast<int>(gridDim.x);
  const int first_unit = static_cast<int>(int64_t{a.units} * block / blocks);
  const int steps = (static_cast<int>(int64_t{a.units} * (block + 1) / blocks) - first_unit) * chunks;
  const auto begin_of = [&](int w) { return static_cast<int>(int64_t{steps} * w / warps); };
  const int begin = begin_of(warp), end = begin_of(warp + 1);
  int unit = first_unit + begin / chunks, chunk = begin % chunks;

  // The next chunk to fetch, of a unit's first tile; its second tile is `second` bytes further, the next
  // unit's first tile `unit_bytes`.
  const int64_t unit_bytes = (kGated ? 1 : kTiles) * a.tile_bytes,
                skip = unit_bytes - int64_t{chunks} * C::step;
  const int64_t second = kGated ? a.up_tiles * a.tile_bytes : a.tile_bytes;
  const uint8_t* next = a.weights + unit * unit_bytes + int64_t{chunk} * C::step;
  int next_left = chunks - chunk, next_tile = 0, left = end - begin, next_stage = 0, next_unit = unit;
  const auto fetch = [&] {
    if (left > 0) {
      // A product with an odd number of tiles: the last one twice.
      const bool alone = !kGated && kTiles == 2 && next_unit * 2 + 1 >= a.tiles;
      C::fetch(ring_at + next_stage * C::bytes, next + (next_tile != 0 && !alone ? second : 0), a, lane);
      if (++next_tile == kTiles) {
        next_tile = 0;
        next += C::step;
        if (--next_left == 0) next += skip, next_left = chunks, ++next_unit;
        if (--left == 1) depend_release();
      }
    }
    next_stage = next_stage + 1 == C::stages ? 0 : next_stage + 1;
    asm volatile("cp.async.commit_group;" ::: "memory");
  };
  if (left <= 1) depend_release();
#pragma unroll
  for (int i = 0; i < C::stages; ++i) fetch();

  depend_wait();
  take_x<C>(a, xs, sums);
  __syncthreads();

  const uint8_t* x_row = xs + min(lane / 4, a.rows - 1) * (static_cast<int>(a.stride) * 2 + 64);
  constexpr int kSumStep =
      C::sum_cols == 0 ? 0 : C::cols / (C::sum_cols == 0 ? 1 : C::sum_cols) * 8;  // of a chunk
  const uint8_t* x_sums = sums + min(lane % 4, (a.rows - 1) / 2) * chunks * kSumStep;
  float acc[kTiles][4] = {};
  int stage = 0;
  bool from_start = chunk == 0;
  for (int step = begin; step < end; ++step) {
#pragma unroll
    for (int h = 0; h < kTiles; h += kAtOnce) {
      asm volatile("cp.async.wait_group %0;" ::"n"(C::stages - kAtOnce) : "memory");
      __syncwarp();  // other lanes fetched parts of this chunk
      const uint8_t* at = ring + stage * C::bytes;
      const uint8_t *xc = x_row + chunk * (C::cols * 2), *sc = x_sums + chunk * kSumStep;
      if constexpr (kAtOnce == 2) {
        const uint8_t* const both[2] = {at, at + C::bytes};
        C::add(acc, both, xc, sc, lane);
      } else {
        const uint8_t* const one[1] = {at};
        C::add(reinterpret_cast<float(&)[1][4]>(acc[h]), one, xc, sc, lane);
      }
      __syncwarp();  // all have read it
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) fetch();
      stage = stage + kAtOnce == C::stages ? 0 : stage + kAtOnce;
    }
    if (++chunk < chunks && step + 1 < end) continue;
    if (from_start && chunk < chunks) break;  // its last unit, which the next warps end
    if (from_start) {
      store<kGated>(a, unit, acc, lane);
    } else {
#pragma unroll
      for (int h = 0; h < kTiles; ++h)
        slots[(warp * kTiles + h) * 32 + lane] = make_float4(acc[h][0], acc[h][1], acc[h][2], acc[h][3]);
    }
#pragma unroll
    for (int h = 0; h < kTiles; ++h)
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
    for (int h = 0; h < kTiles; ++h) {
      const float4 v = slots[(w * kTiles + h) * 32 + lane];
      acc[h][0] += v.x, acc[h][1] += v.y, acc[h][2] += v.z, acc[h][3] += v.w;
    }
  }
  store<kGated>(a, unit, acc, lane);
}

// Splits rows that do not fit in shared memory beside the rings into several passes.
template <class C, bool kGated>
void launch_matvec(const Device& device, int shared_limit, MatvecArgs a) {
  constexpr int kTiles = kGated || C::pairs ? 2 : 1;
  if (!kGated) a.units = (a.tiles + kTiles - 1) / kTiles;
  int warps = C::warps;
  const auto fixed = [&] { return warps * (C::stages * C::bytes + kTiles * kSlotBytes); };
  const auto fits = [&](int rows) { return fixed() + x_bytes_of<C>(a.stride, rows) <= shared_limit; };
  while (!fits(1) && warps > 1) --warps;  // cards with 99 KB of it
  int most = a.rows;
  while (most > 1 && !fits(most)) --most;
  const int all = a.rows;
  // One block on a multiprocessor: where two fit, blocks of the next kernel, which start early, double up on
  // some and leave others idle (a layer of Q4_0 took 88 us instead of 68).
  const int alone = shared_limit / 2 + 2048;
  const dim3 grid(static_cast<unsigned>(std::min(a.units, device.multiprocessors())));
  for (int first = 0; first < all; first += most) {
    MatvecArgs part = a;
    part.rows = std::min(most, all - first);
    part.x = static_cast<const __nv_bfloat16*>(a.x) + first * a.stride;
    part.y = static_cast<uint8_t*>(a.y) + first * a.y_stride * (kGated && !a.y_f32 ? 2 : 4);
    launch(device, matvec<C, kGated>, grid, dim3(static_cast<unsigned>(warps * 32)),
           static_cast<size_t>(std::max(alone, fixed() + x_bytes_of<C>(a.stride, part.rows))), part);
  }
}

/// Launches when `form` is this one. For the expansion of a TESSERA_CUDA_FORMS list.
template <int kBits, int kGroup, QuantLayout::Scale kScale, bool kHasMin>
bool launch_if(const Device& device, int shared_limit, const Form& form, bool gated, const MatvecArgs& a) {
  if (!(form == Form{kBits, kGroup, kScale, kHasMin})) return false;
  using C = Chunks<FormOf<kBits, kGroup, kScale, kHasMin>>;
  gated ? launch_matvec<C, true>(device, shared_limit, a) : launch_matvec<C, false>(device, shared_limit, a);
  return true;
}

}  // namespace tessera::cuda
