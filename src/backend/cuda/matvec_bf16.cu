// y[r] = x[r] Wᵀ for 1 … 8 rows of bfloat16 weights: they are streamed once, whatever the number of rows.
//
// Weights are the A operand of mma.m16n8k16 (16 rows), rows of x the B operand (8 columns, the missing ones
// repeat the last row). A block owns neighbouring units (16 outputs; gated: 8 rows of gate and 8 of up, so
// that 1,920 units of the 12B fall on 132 blocks more evenly than 960), its warps equal stretches of (unit,
// chunk of inputs). Each warp fetches its chunks through a ring of its own, without a barrier. The rings are
// filled before the kernel waits for the one before it, so that memory stays busy in between. A unit that
// several warps share is summed in the order of the warps: bits depend on the matrix and the card, not on the
// rows.
#include <algorithm>

#include "backend/cuda/copies.cuh"
#include "backend/cuda/fragments.cuh"
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"

namespace tessera::cuda {
namespace {

constexpr int kCols = 128;  // inputs of a chunk
constexpr int kChunkBytes = kTileRows * kCols * 2;
constexpr int kSlotBytes = 512;  // partial sums of a tile: 32 lanes × 4 float32
// Warps of a block, chunks in each ring. About 96 KB on their way keep the memory busy (76: 5 % slower; more:
// no faster), and four rows of 15,360 inputs still fit beside them. Asking the second-level cache for what
// comes after the rings (cp.async.bulk.prefetch) was 10 to 25 % slower.
constexpr int kWarps = 8, kStages = 3;

// 128 inputs of 16 rows, in the order in which add() reads them; the last 8 are `second` bytes further.
__device__ __forceinline__ void fetch_chunk(uint32_t to, const uint8_t* from, int64_t row_bytes,
                                            int64_t second, int lane) {
  from += lane / 4 * row_bytes + lane % 4 * 16;
#pragma unroll
  for (int b = 0; b < 4; ++b)
#pragma unroll
    for (int half = 0; half < 2; ++half)
      copy_16_of_stream(to + (2 * b + half) * 512 + lane * 16, from + half * second + b * 64);
}

// A lane's 16 bytes are neighbouring inputs of its row, of W and x alike: their order does not matter to a
// sum.
__device__ __forceinline__ void add(float (&acc)[4], const uint8_t* chunk, const uint8_t* x, int lane) {
  uint4 u[4], v[4], xs[4];
#pragma unroll
  for (int b = 0; b < 4; ++b) {
    u[b] = *reinterpret_cast<const uint4*>(chunk + b * 1024 + lane * 16);
    v[b] = *reinterpret_cast<const uint4*>(chunk + b * 1024 + 512 + lane * 16);
    xs[b] = *reinterpret_cast<const uint4*>(x + b * 64 + lane % 4 * 16);
  }
#pragma unroll
  for (int b = 0; b < 4; ++b) {
    const uint32_t a0[4] = {u[b].x, v[b].x, u[b].y, v[b].y}, a1[4] = {u[b].z, v[b].z, u[b].w, v[b].w};
    mma(acc, a0, xs[b].x, xs[b].y);
    mma(acc, a1, xs[b].z, xs[b].w);
  }
}

template <bool kGated>
constexpr int kUnitOutputs = kGated ? kTileRows / 2 : kTileRows;

// Sums of one unit to y. Lane 4g + t holds rows g and g + 8 of the unit times rows 2t and 2t + 1 of x.
template <bool kGated>
__device__ __forceinline__ void store(const MatvecArgs& a, int unit, const float (&acc)[4], int lane) {
#pragma unroll
  for (int j = 0; j < (kGated ? 2 : 4); ++j) {
    const int row = lane % 4 * 2 + j % 2;
    const int64_t output = int64_t{unit} * kUnitOutputs<kGated> + lane / 4 + j / 2 * 8;
    if (row >= a.rows || output >= a.outputs) continue;
    const int64_t at = row * a.y_stride + output;
    if constexpr (kGated) {
      const float v = gelu_tanh(acc[j]) * acc[j + 2];
      if (a.y_f32)
        static_cast<float*>(a.y)[at] = v;
      else
        static_cast<__nv_bfloat16*>(a.y)[at] = __float2bfloat16(v);
    } else {
      static_cast<float*>(a.y)[at] = a.cap > 0 ? a.cap * tanhf(acc[j] / a.cap) : acc[j];
    }
  }
}

// x in shared memory: [rows][stride + 32], so that rows lie in different banks.
constexpr int x_row_bytes(int64_t stride) {
  return static_cast<int>(stride) * 2 + 64;
}

__device__ __forceinline__ void take_x(const MatvecArgs& a, uint8_t* xs) {
  constexpr int kAtOnce = 4;
  const int vectors = static_cast<int>(a.stride) / 8, all = vectors * a.rows;
  const int threads = static_cast<int>(blockDim.x), row_bytes = x_row_bytes(a.stride);
  const uint4* from = static_cast<const uint4*>(a.x);
  int row = 0, at = static_cast<int>(threadIdx.x);  // of the next vector
  for (int first = at; first < all; first += kAtOnce * threads) {
    uint4 v[kAtOnce];
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j)
      if (first + j * threads < all) v[j] = from[first + j * threads];
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j) {
      if (first + j * threads >= all) break;
      while (at >= vectors) at -= vectors, ++row;
      *reinterpret_cast<uint4*>(xs + row * row_bytes + at * 16) = v[j];
      at += threads;
    }
  }
}

// Shared memory: rings of the warps, slots of partial sums [warp][lane], x.
template <bool kGated>
__global__ void __launch_bounds__(kWarps * 32) matvec(const MatvecArgs a) {
  extern __shared__ __align__(128) uint8_t shared[];
  const int warps = static_cast<int>(blockDim.x) / 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  uint8_t* ring = shared + warp * kStages * kChunkBytes;
  float4* slots = reinterpret_cast<float4*>(shared + warps * kStages * kChunkBytes);
  uint8_t* xs = reinterpret_cast<uint8_t*>(slots + warps * 32);
  const auto ring_at = static_cast<uint32_t>(__cvta_generic_to_shared(ring));

  const int chunks = static_cast<int>(a.stride / kCols);
  const int block = static_cast<int>(blockIdx.x), blocks = static_cast<int>(gridDim.x);
  // 32 bits suffice: units × blocks is below 2^31. A division of 64 bits takes a microsecond's tenth.
  const int first_unit = a.units * block / blocks;
  const int steps = (a.units * (block + 1) / blocks - first_unit) * chunks;
  const int least = steps / warps, longer = steps - least * warps;
  const auto begin_of = [&](int w) { return w * least + min(w, longer); };
  const int begin = begin_of(warp), end = begin_of(warp + 1);
  int unit = first_unit + begin / chunks, chunk = begin % chunks;

  // The next chunk to fetch.
  constexpr int kStep = kCols * 2;  // bytes of a row
  const int64_t row_bytes = a.stride * 2, unit_bytes = row_bytes * kUnitOutputs<kGated>;
  const int64_t second = kGated ? a.up_tiles * a.tile_bytes : 8 * row_bytes;
  const uint8_t* next = a.weights + unit * unit_bytes + int64_t{chunk} * kStep;
  int next_left = chunks - chunk, left = end - begin, next_stage = 0;
  const auto fetch = [&] {
    if (left > 0) {
      fetch_chunk(ring_at + next_stage * kChunkBytes, next, row_bytes, second, lane);
      next += kStep;
      if (--next_left == 0) next += unit_bytes - row_bytes, next_left = chunks;
      --left;
    }
    next_stage = next_stage + 1 == kStages ? 0 : next_stage + 1;
    copies_commit();
  };
  depend_release();
#pragma unroll
  for (int i = 0; i < kStages; ++i) fetch();

  depend_wait();
  take_x(a, xs);
  __syncthreads();

  const uint8_t* x_row = xs + min(lane / 4, a.rows - 1) * x_row_bytes(a.stride);
  float acc[4] = {};
  int stage = 0;
  bool from_start = chunk == 0;
  for (int step = begin; step < end; ++step) {
    copies_wait<kStages - 1>();
    __syncwarp();  // other lanes fetched parts of this chunk
    add(acc, ring + stage * kChunkBytes, x_row + chunk * kStep, lane);
    __syncwarp();  // all have read it
    fetch();
    stage = stage + 1 == kStages ? 0 : stage + 1;
    if (++chunk < chunks && step + 1 < end) continue;
    if (from_start && chunk < chunks) break;  // its last unit, which the next warps end
    if (from_start)
      store<kGated>(a, unit, acc, lane);
    else
      slots[warp * 32 + lane] = make_float4(acc[0], acc[1], acc[2], acc[3]);
#pragma unroll
    for (float& v : acc) v = 0;
    chunk = 0, ++unit, from_start = true;
  }
  __syncthreads();

  // The warp that began a unit and did not end it adds what the next ones have of it.
  if (begin == end || chunk == 0) return;
  const int unit_end = (unit - first_unit + 1) * chunks;
  for (int w = warp + 1; w < warps && begin_of(w) < unit_end; ++w) {
    if (begin_of(w) == begin_of(w + 1)) continue;
    const float4 v = slots[w * 32 + lane];
    acc[0] += v.x, acc[1] += v.y, acc[2] += v.z, acc[3] += v.w;
  }
  store<kGated>(a, unit, acc, lane);
}

// Splits rows that do not fit in shared memory beside the rings into several passes.
template <bool kGated>
void launch_matvec(const Device& device, int shared_limit, const MatvecArgs& a) {
  int warps = kWarps;
  const auto needed = [&](int rows) {
    return warps * (kStages * kChunkBytes + kSlotBytes) + rows * x_row_bytes(a.stride);
  };
  while (needed(1) > shared_limit && warps > 1) --warps;  // cards with 99 KB of it
  int most = a.rows;
  while (most > 1 && needed(most) > shared_limit) --most;
  // One block on a multiprocessor: where two fit, blocks of the next kernel, which start early, double up on
  // some and leave others idle (a layer of Q4_0 took 88 us instead of 68).
  const int alone = shared_limit / 2 + 2048;
  const int units = kGated ? a.units * (kTileRows / kUnitOutputs<kGated>) : a.tiles;
  const dim3 grid(static_cast<unsigned>(std::min(units, device.multiprocessors())));
  for (int first = 0; first < a.rows; first += most) {
    MatvecArgs part = a;
    part.units = units;
    part.rows = std::min(most, a.rows - first);
    part.x = static_cast<const __nv_bfloat16*>(a.x) + first * a.stride;
    part.y = static_cast<uint8_t*>(a.y) + first * a.y_stride * (a.y_f32 ? 4 : 2);
    launch(device, matvec<kGated>, grid, dim3(static_cast<unsigned>(warps * 32)),
           static_cast<size_t>(std::max(alone, needed(part.rows))), part);
  }
}

}  // namespace

void matvec_bf16(const Device& device, int shared_limit, bool gated, const MatvecArgs& a) {
  gated ? launch_matvec<true>(device, shared_limit, a) : launch_matvec<false>(device, shared_limit, a);
}

}  // namespace tessera::cuda
