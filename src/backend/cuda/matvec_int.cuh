#pragma once
// y[r] = x[r] Wᵀ for 1 … 8 rows of quantised weights in integers: codes are the A operand of mma.m16n8k32 as
// they are, the digits of x (digits.cuh) B: columns 2r and 2r + 1 are h and l of row r, so four rows cost
// what one does; 5 to 8 rows are two such sets. Sums over a group are exact; with kSuper those over 128
// inputs too.
//
// Blocks, warps and rings as in matvec_bf16.cu. x comes straight from the caches to registers, ahead of its
// step: through shared memory it would cost a barrier between its arrival and the first product.
#include <algorithm>

#include "backend/cuda/int_chunks.cuh"
#include "backend/cuda/launch.h"

namespace tessera::cuda {

// Sums of one unit to y. Lane 4g + t holds outputs g and g + 8 of row t of each set. kept: gated, values as
// stored, [row][128] from the block's first output; or null.
template <bool kGated, int kTiles, int kSets>
__device__ __forceinline__ void store_rows(const MatvecArgs& a, int unit,
                                           const float (&acc)[kTiles][kSets][2], int lane, float* kept,
                                           int first_unit) {
  constexpr int kOutputs = kGated ? 1 : kTiles;  // tiles of y
#pragma unroll
  for (int i = 0; i < kOutputs; ++i)
#pragma unroll
    for (int s = 0; s < kSets; ++s)
#pragma unroll
      for (int o = 0; o < 2; ++o) {
        const int row = s * kSetRows + lane % 4;
        const int64_t output = (int64_t{unit} * kOutputs + i) * kTileRows + lane / 4 + o * 8;
        if (row >= a.rows || output >= a.outputs) continue;
        const int64_t at = row * a.y_stride + output;
        if constexpr (kGated) {
          float v = gelu_tanh(acc[0][s][o]) * acc[1][s][o];
          if (a.y_f32) {
            static_cast<float*>(a.y)[at] = v;
          } else {
            const __nv_bfloat16 narrow = __float2bfloat16(v);
            static_cast<__nv_bfloat16*>(a.y)[at] = narrow;
            v = __bfloat162float(narrow);
          }
          if (kept != nullptr) kept[row * kDigitCols + output - int64_t{first_unit} * kTileRows] = v;
        } else {
          const float v = acc[i][s][o];
          static_cast<float*>(a.y)[at] = a.cap > 0 ? a.cap * tanhf(v / a.cap) : v;
        }
      }
}

// Shared memory: rings of the warps, slots of partial sums [warp][tile][set][lane], with y_digits the block's
// outputs [row][128].
template <class C, bool kGated, int kSets>
__global__ void __launch_bounds__(C::warps * 32, 1) matvec_int(const MatvecArgs a) {
  constexpr int kTiles = kGated || C::pairs ? 2 : 1;  // of a unit
  constexpr int kAtOnce = C::pairs ? 2 : 1, kSlot = kAtOnce * C::bytes, kSlots = C::stages / kAtOnce;
  extern __shared__ __align__(128) uint8_t shared[];
  const int warps = static_cast<int>(blockDim.x) / 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  uint8_t* ring = shared + warp * C::stages * C::bytes;
  float2* slots = reinterpret_cast<float2*>(shared + warps * C::stages * C::bytes);
  float* kept =
      a.y_digits.data == nullptr ? nullptr : reinterpret_cast<float*>(slots + warps * kTiles * kSets * 32);
  const auto ring_at = static_cast<uint32_t>(__cvta_generic_to_shared(ring));

  // 32 bits suffice: units × blocks is below 2^31. A division of 64 bits takes a microsecond's tenth.
  const int chunks = static_cast<int>(a.stride) / kChunkCols, each = kGated ? a.unit_group : 1;
  const int block = static_cast<int>(blockIdx.x), blocks = static_cast<int>(gridDim.x);
  const int first_unit = a.units / each * block / blocks * each;
  const int steps = (a.units / each * (block + 1) / blocks * each - first_unit) * chunks;
  const int least = steps / warps, longer = steps - least * warps;
  const auto begin_of = [&](int w) { return w * least + min(w, longer); };
  const int begin = begin_of(warp), end = begin_of(warp + 1);
  int unit = first_unit + begin / chunks, chunk = begin % chunks;

  // The next chunk to fetch, of a unit's first tile; its second tile is `second` bytes further, the next
  // unit's first tile `unit_bytes`.
  const int64_t unit_bytes = (kGated ? 1 : kTiles) * a.tile_bytes,
                skip = unit_bytes - int64_t{chunks} * C::bytes;
  const int64_t second = kGated ? a.up_tiles * a.tile_bytes : a.tile_bytes;
  // A product with an odd number of tiles: the last unit has its tile twice.
  const int odd_unit = !kGated && kTiles == 2 && a.tiles % 2 != 0 ? a.units - 1 : -1;
  const uint8_t* next = a.weights + unit * unit_bytes + int64_t{chunk} * C::bytes;
  int next_left = chunks - chunk, next_tile = 0, left = end - begin, next_slot = 0, next_unit = unit;
  const auto fetch = [&] {  // a slot: what is computed at once
    if (left > 0) {
      const int64_t other = kTiles == 1 || next_unit == odd_unit ? 0 : second;
      const uint32_t to = ring_at + next_slot * kSlot;
      C::fetch(to, next + (next_tile == 0 ? 0 : other), lane);
      if constexpr (kAtOnce == 2) C::fetch(to + C::bytes, next + other, lane);
      next_tile += kAtOnce;
      if (next_tile == kTiles) {
        next_tile = 0;
        next += C::bytes;
        if (--next_left == 0) next += skip, next_left = chunks, ++next_unit;
        --left;
      }
    }
    next_slot = next_slot + 1 == kSlots ? 0 : next_slot + 1;
    copies_commit();
  };
  depend_release();

#pragma unroll
  for (int i = 0; i < kSlots; ++i) {
    // With all slots asked for at once 19 MB are on their way on an H200, and what the kernel before this one
    // reads and writes waits behind them for microseconds.
    if (i > 0) copies_wait<0>();
    fetch();
  }

  const uint8_t *column[kSets], *row[kSets];  // of x: where B and the scales come from
#pragma unroll
  for (int s = 0; s < kSets; ++s) {
    const auto from_row = [&](int r) {
      return static_cast<const uint8_t*>(a.x) +
             static_cast<uint32_t>(min(s * kSetRows + r, a.rows - 1) * chunks * kRecordBytes);
    };
    column[s] = from_row(lane / 8) + lane / 4 % 2 * kChunkCols + lane % 4 * 16;
    row[s] = from_row(lane % 4);
  }
  depend_wait();

  typename C::template Inputs<kSets> x;
  if (begin < end) x.load(column, row, chunk);
  float acc[kTiles][kSets][2] = {};
  int slot = 0;
  bool from_start = chunk == 0;
  for (int step = begin; step < end; ++step) {
#pragma unroll
    for (int h = 0; h < kTiles; h += kAtOnce) {
      copies_wait<kSlots - 1>();
      __syncwarp();  // other lanes fetched parts of this chunk
      const uint8_t* at = ring + slot * kSlot;
      if constexpr (kAtOnce == 2) {
        const uint8_t* const both[2] = {at, at + C::bytes};
        C::add(acc, both, x, lane);
      } else {
        const uint8_t* const one[1] = {at};
        C::add(reinterpret_cast<float(&)[1][kSets][2]>(acc[h]), one, x, lane);
      }
      // The next step's x comes while its codes are waited for and opened.
      if (h + kAtOnce == kTiles) x.load(column, row, chunk + 1 == chunks ? 0 : chunk + 1);
      __syncwarp();  // all have read it
      fetch();
      slot = slot + 1 == kSlots ? 0 : slot + 1;
    }
    if (++chunk < chunks && step + 1 < end) continue;
    if (from_start && chunk < chunks) break;  // its last unit, which the next warps end
    if (from_start) {
      store_rows<kGated>(a, unit, acc, lane, kept, first_unit);
    } else {
#pragma unroll
      for (int h = 0; h < kTiles; ++h)
#pragma unroll
        for (int s = 0; s < kSets; ++s)
          slots[((warp * kTiles + h) * kSets + s) * 32 + lane] = make_float2(acc[h][s][0], acc[h][s][1]);
    }
#pragma unroll
    for (int h = 0; h < kTiles; ++h)
#pragma unroll
      for (int s = 0; s < kSets; ++s) acc[h][s][0] = acc[h][s][1] = 0;
    chunk = 0, ++unit, from_start = true;
  }
  __syncthreads();

  // The warp that began a unit and did not end it adds what the next ones have of it.
  if (begin != end && chunk != 0) {
    const int unit_end = (unit - first_unit + 1) * chunks;
#pragma unroll 4
    for (int w = warp + 1; w < warps; ++w) {
      if (begin_of(w) >= unit_end || begin_of(w) == begin_of(w + 1)) break;  // empty warps are the last
#pragma unroll
      for (int h = 0; h < kTiles; ++h)
#pragma unroll
        for (int s = 0; s < kSets; ++s) {
          const float2 v = slots[((w * kTiles + h) * kSets + s) * 32 + lane];
          acc[h][s][0] += v.x, acc[h][s][1] += v.y;
        }
    }
    store_rows<kGated>(a, unit, acc, lane, kept, first_unit);
  }
  if constexpr (kGated) {
    if (kept == nullptr) return;
    __syncthreads();
    for (int r = warp; r < a.rows; r += warps) {
      const float4 v = *reinterpret_cast<const float4*>(kept + r * kDigitCols + lane * 4);
      const int at = first_unit * kTileRows / kDigitCols;
      put_digits(record_of(a.y_digits.data, r, a.outputs, at), at % 2, {v.x, v.y, v.z, v.w}, lane,
                 a.y_digits.sums);
    }
  }
}

template <class C, bool kGated>
void launch_matvec_int(const Device& device, int shared_limit, MatvecArgs a) {
  constexpr int kTiles = kGated || C::pairs ? 2 : 1, kMostSets = 2;
  if (!kGated) a.units = (a.tiles + kTiles - 1) / kTiles;
  // Sized for the most rows, so that the warps, and with them the bits, do not depend on the rows.
  constexpr int kKept = kGated ? kMostSets * kSetRows * kDigitCols * 4 : 0;
  int warps = C::warps;
  const auto needed = [&] { return warps * (C::stages * C::bytes + kTiles * kMostSets * 256) + kKept; };
  while (needed() > shared_limit && warps > 1) --warps;  // cards with 99 KB of it
  // One block on a multiprocessor (matvec_bf16.cu).
  const int alone = shared_limit / 2 + 2048;
  const int parts = kGated ? a.units / a.unit_group : a.units;
  // As many blocks as end together: 256 parts are 128 blocks of two on 132 multiprocessors, not 124 of two
  // and 8 of one. A block may fill the registers of its multiprocessor; on those left free the small kernels
  // before and after this one run meanwhile.
  const int most = (parts + device.multiprocessors() - 1) / device.multiprocessors();
  const dim3 grid(static_cast<unsigned>((parts + most - 1) / most));
  launch(device, a.rows > kSetRows ? matvec_int<C, kGated, 2> : matvec_int<C, kGated, 1>, grid,
         dim3(static_cast<unsigned>(warps * 32)), static_cast<size_t>(std::max(alone, needed())), a);
}

/// Launches when `form` is this one. For the expansion of a TESSERA_CUDA_FORMS list.
template <int kBits, int kGroup, QuantLayout::Scale kScale, bool kHasMin>
bool launch_int_if(const Device& device, int shared_limit, const Form& form, bool gated,
                   const MatvecArgs& a) {
  if (!(form == Form{kBits, kGroup, kScale, kHasMin})) return false;
  using C = IntChunks<FormOf<kBits, kGroup, kScale, kHasMin>>;
  gated ? launch_matvec_int<C, true>(device, shared_limit, a)
        : launch_matvec_int<C, false>(device, shared_limit, a);
  return true;
}

}  // namespace tessera::cuda
