// Decode attention, up to 8 rows: y[r] = softmax(q[r] Kᵀ) V over what row r sees.
//
// One block a (range of keys, KV head, row): all query heads of the KV head (up to 16) are the 16 rows of the
// tensor core's A, so K and V are read once for them. A block writes its largest score, sum and weighted sum
// of V; these are added up in an order that the number of ranges sets: by the block that ends last where a KV
// head has few query heads, else by merge_kernel, which spreads over the card. The grid is that of the
// longest context; blocks without keys end at once, so a recorded launch serves every length.
#include <algorithm>
#include <cfloat>

#include "backend/cuda/digits.cuh"
#include "backend/cuda/kv_view.cuh"
#include "backend/cuda/launch.h"
#include "backend/cuda/ops.h"
#include "backend/cuda/tiles.cuh"

namespace tessera::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kLeastKeys = 64;  // of a range: fewer would cost more in the merge than they spread
constexpr int kMaxRows = 8, kHeads = 16;
constexpr int64_t kDoneBytes = 4096;  // the same for all shapes, which share the memory
constexpr int kMergeHeads = 4;        // query heads of a KV head that one block merges in about a microsecond
constexpr int kMaxSplits = 256;
constexpr int kInFlight = 9;  // ranges whose sums a warp asks for at once: half of a full window's 17
constexpr float kLog2e = 1.4426950408889634F;

// Ranges of equal length, whole tiles, that begin at KV block edges.
struct Ranges {
  int first, keys, count;  // first position of the first range, keys of each, ranges that are not empty

  __device__ Ranges(int begin, int last, int splits) {
    constexpr int kTile = 32;  // the least that a kernel takes at once
    first = begin / static_cast<int>(kKvBlock) * static_cast<int>(kKvBlock);
    const int all = last + 1 - first;
    keys = max(kLeastKeys, ((all + splits - 1) / splits + kTile - 1) / kTile * kTile);
    count = (all + keys - 1) / keys;
  }
};

struct FewArgs {
  const __nv_bfloat16* q;
  __nv_bfloat16* y;
  float* sums;    // [row][kv head][split][16][head_dim]
  float2* stats;  // [row][kv head][split][16]: largest score, sum
  int* done;      // [row][kv head] blocks that have ended; zero between launches. Null: merge_kernel follows
  const int32_t* position;
  const int32_t* sequence;
  const int32_t* span_end;
  const int32_t* fresh;
  int window, group;  // query heads of a KV head
  DigitsOut digits;   // of y
};

// Digits of row r's query heads of a KV head, bfloat16 in shared memory: [group][kHead].
template <int kHead>
__device__ __forceinline__ void put_head_digits(const FewArgs& a, int r, int kv_head, int heads,
                                                const uint8_t* y) {
  constexpr int kBlocks = kHead / kDigitCols;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  for (int i = warp; i < a.group * kBlocks; i += kWarps) {
    const int block = kv_head * a.group * kBlocks + i;
    const uint2 v = *reinterpret_cast<const uint2*>(y + (i * kDigitCols + lane * 4) * 2);
    put_digits(record_of(a.digits.data, r, int64_t{heads} * kHead, block), block % 2,
               {__uint_as_float(v.x << 16), __uint_as_float(v.x & 0xFFFF0000U), __uint_as_float(v.y << 16),
                __uint_as_float(v.y & 0xFFFF0000U)},
               lane, a.digits.sums);
  }
}

struct MergeMemory {  // shared
  float4 sum[kWarps][32];
  float weight[kWarps][kMaxSplits];
};

// weight[s]: by what the sums of range s count in y. By one warp.
__device__ __forceinline__ void weigh_ranges(float* weight, const float2* stats, int count, int lane) {
  float high = -FLT_MAX, all = 0;
  for (int s = lane; s < count; s += 32) high = fmaxf(high, __ldcg(stats + int64_t{s} * kHeads).x);
#pragma unroll
  for (int o = 16; o > 0; o /= 2) high = fmaxf(high, __shfl_xor_sync(~0U, high, o));
  for (int s = lane; s < count; s += 32) {
    const float2 stat = __ldcg(stats + int64_t{s} * kHeads);
    const float of = power_of_2((stat.x - high) * kLog2e);
    weight[s] = of;
    all += stat.y * of;
  }
#pragma unroll
  for (int o = 16; o > 0; o /= 2) all += __shfl_xor_sync(~0U, all, o);
  const float inverse = 1 / all;
  for (int s = lane; s < count; s += 32) weight[s] *= inverse;
  __syncwarp();
}

// y of row r, kDigitCols dimensions a unit, units first … first + units - 1 of the query heads of a KV head.
// Warps beyond the number of units share out the ranges of one. By the whole block.
template <int kHead>
__device__ __forceinline__ void merge(const FewArgs& a, int r, int kv_head, int kv_heads, int splits,
                                      int count, int first, int units, MergeMemory& memory) {
  constexpr int kUnits = kHead / kDigitCols;  // of a query head
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int slices = max(1, kWarps / units), slice = warp % slices;
  const int64_t part = (int64_t{r} * kv_heads + kv_head) * splits;
  for (int u = first; u < first + units; u += kWarps / slices) {
    const int unit = u + warp / slices, g = unit / kUnits;
    const bool in = unit < first + units;
    if (in) {
      const float* sums = a.sums + (part * kHeads + g) * kHead + unit % kUnits * kDigitCols + lane * 4;
      float4 v[kInFlight], sum = make_float4(0, 0, 0, 0);
      const auto ask = [&](int s) {
#pragma unroll
        for (int i = 0; i < kInFlight; ++i)
          if (const int at = s + i * slices; at < count)
            v[i] = __ldcg(reinterpret_cast<const float4*>(sums + int64_t{at} * kHeads * kHead));
      };
      ask(slice);
      weigh_ranges(memory.weight[warp], a.stats + part * kHeads + g, count, lane);
      for (int s = slice; s < count;) {
#pragma unroll
        for (int i = 0; i < kInFlight; ++i)
          if (const int at = s + i * slices; at < count) {
            const float weight = memory.weight[warp][at];
            sum.x += v[i].x * weight, sum.y += v[i].y * weight;
            sum.z += v[i].z * weight, sum.w += v[i].w * weight;
          }
        s += kInFlight * slices;
        ask(s);
      }
      memory.sum[warp][lane] = sum;
    }
    __syncthreads();
    if (in && slice == 0) {
      float4 y = memory.sum[warp][lane];
      for (int i = 1; i < slices; ++i) {
        const float4 v = memory.sum[warp + i][lane];
        y.x += v.x, y.y += v.y, y.z += v.z, y.w += v.w;
      }
      const int block = kv_head * a.group * kUnits + unit;
      const int64_t cols = int64_t{kv_heads} * a.group * kHead;
      reinterpret_cast<uint2*>(a.y + r * cols + block * kDigitCols)[lane] =
          make_uint2(pack_pair(y.x, y.y), pack_pair(y.z, y.w));
      if (a.digits.data != nullptr)
        put_digits_as<__nv_bfloat16>(record_of(a.digits.data, r, cols, block), block % 2,
                                     {y.x, y.y, y.z, y.w}, lane, a.digits.sums);
    }
  }
}

// Adds 1 to *count and returns what was there. By one thread between two barriers, which make it order what
// all threads of the blocks that count here write before it and read after it (PTX: causality order).
__device__ __forceinline__ int count_in(int* count) {
  int before;
  asm volatile("atom.add.acq_rel.gpu.global.s32 %0, [%1], 1;" : "=r"(before) : "l"(count) : "memory");
  return before;
}

// kKeys: of a tile. Two blocks of 256 dimensions a multiprocessor: a full window is 17 ranges, for the 12B's
// 8 KV heads 136 blocks on 132 multiprocessors.
template <int kHead, int kKeys, int kStages>
__global__ void __launch_bounds__(32 * kWarps, kHead == 256 ? 2 : 1)
    attend_few_kernel(FewArgs a, KvView<__nv_bfloat16> kv) {
  using Rows = Tile<kHead>;
  constexpr int kTileBytes = kKeys * Rows::kRowBytes, kDims = kHead / kWarps;
  // Warps share out a tile's scores by 8 keys, and what warps are left by parts of a head's dimensions.
  constexpr int kParts = kWarps / (kKeys / 8), kPart = kHead / kParts;
  constexpr int kScoreStride = kKeys + 4;
  extern __shared__ __align__(128) uint8_t shared[];
  // [K tile, V tile] × kStages, Q
  uint8_t* q_tile = shared + kStages * 2 * kTileBytes;
  __shared__ float scores[kParts][16][kScoreStride];
  depend_release();

  const int split = blockIdx.x, kv_head = blockIdx.y, r = blockIdx.z, splits = gridDim.x;
  const int position = a.position[r], sequence = a.sequence[r];
  const int first = first_visible(a.window, position), last = last_visible(a.window, position, a.span_end[r]);
  const Ranges ranges(first, last, splits);
  if (split >= ranges.count) return depend_wait();
  const int begin = ranges.first + split * ranges.keys, end = min(begin + ranges.keys, last + 1);
  const int tid = threadIdx.x, warp = tid / 32, lane = tid % 32;
  const int heads = a.group * kv.kv_heads;

  const int tiles = (end - begin + kKeys - 1) / kKeys;
  KvTiles<kHead, kKeys, 32 * kWarps> source(kv, kv_head, sequence, begin, end - 1);
  const auto load_tile = [&](int t) {
    if (t < tiles) {
      const uint32_t to = shared_address(shared + t % kStages * 2 * kTileBytes);
      source.seek(t);
      source.copy(kv.k, to, Rows::at);
      source.copy(kv.v, to + kTileBytes, Rows::at);
    }
    copies_commit();
  };
  // Keys of earlier steps come in while the kernel before this one runs.
  const int old_tiles = (a.fresh[r] - begin) / kKeys;
#pragma unroll
  for (int t = 0; t < kStages; ++t) {
    if (t >= old_tiles) depend_wait();
    load_tile(t);
  }
  const auto q_at = [&](int c) {
    return reinterpret_cast<uint4*>(q_tile + Rows::at(c / Rows::kChunks, c % Rows::kChunks));
  };
  for (int c = a.group * Rows::kChunks + tid; c < kHeads * Rows::kChunks; c += 32 * kWarps)
    *q_at(c) = make_uint4(0, 0, 0, 0);
  depend_wait();
  const auto* q = reinterpret_cast<const uint4*>(a.q + (int64_t{r} * heads + kv_head * a.group) * kHead);
  for (int c = tid; c < a.group * Rows::kChunks; c += 32 * kWarps) *q_at(c) = q[c];

  float sum[kDims / 8][4] = {};
  float top[2] = {-FLT_MAX, -FLT_MAX}, total[2] = {0, 0};  // of rows lane / 4 and lane / 4 + 8
  const int n_tile = warp % (kKeys / 8), part = warp / (kKeys / 8);
  for (int t = 0; t < tiles; ++t) {
    copies_wait<kStages - 1>();
    __syncthreads();
    const uint8_t* k_tile = shared + t % kStages * 2 * kTileBytes;
    const uint8_t* v_tile = k_tile + kTileBytes;

    // Scores of 8 keys over a part of the dimensions; 32 dimensions a turn.
    float s[2][4] = {};
#pragma unroll
    for (int d = 0; d < kPart; d += 32) {
      const int chunk = (part * kPart + d) / 8;
      uint32_t b[4], q0[4], q1[4];
      load_matrices(b, shared_address(k_tile + Rows::at(n_tile * 8 + lane % 8, chunk + lane / 8)));
      load_matrices(q0, shared_address(q_tile + Rows::at(lane % 16, chunk + lane / 16)));
      load_matrices(q1, shared_address(q_tile + Rows::at(lane % 16, chunk + 2 + lane / 16)));
      multiply_add(s[0], q0, b[0], b[1]);
      multiply_add(s[1], q1, b[2], b[3]);
    }
    const int row = lane / 4, col = n_tile * 8 + lane % 4 * 2;
    *reinterpret_cast<float2*>(&scores[part][row][col]) = make_float2(s[0][0] + s[1][0], s[0][1] + s[1][1]);
    *reinterpret_cast<float2*>(&scores[part][row + 8][col]) =
        make_float2(s[0][2] + s[1][2], s[0][3] + s[1][3]);
    __syncthreads();

    // Every warp turns the scores into the A operand of P V: rows lane / 4 (+ 8), keys 2 (lane % 4) + 8 j.
    float p[2][kKeys / 4] = {}, high[2] = {top[0], top[1]}, shrink[2] = {1, 1};
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if (i == 1 && a.group <= 8) break;  // rows of zeros
#pragma unroll
      for (int j = 0; j < kKeys / 8; ++j) {
        const int c = j * 8 + lane % 4 * 2, at = row + 8 * i;
        float2 u = *reinterpret_cast<const float2*>(&scores[0][at][c]);
        if constexpr (kParts == 2) {
          const float2 v = *reinterpret_cast<const float2*>(&scores[1][at][c]);
          u.x += v.x, u.y += v.y;
        }
        const int key = begin + t * kKeys + c;
        p[i][2 * j] = key >= first && key < end ? u.x : -INFINITY;
        p[i][2 * j + 1] = key + 1 >= first && key + 1 < end ? u.y : -INFINITY;
        high[i] = fmaxf(high[i], fmaxf(p[i][2 * j], p[i][2 * j + 1]));
      }
      high[i] = fmaxf(high[i], __shfl_xor_sync(~0U, high[i], 1));
      high[i] = fmaxf(high[i], __shfl_xor_sync(~0U, high[i], 2));
      shrink[i] = power_of_2((top[i] - high[i]) * kLog2e);
      top[i] = high[i];
      total[i] *= shrink[i];
#pragma unroll
      for (float& e : p[i]) {
        e = power_of_2((e - high[i]) * kLog2e);
        total[i] += e;
      }
    }
#pragma unroll
    for (auto& n : sum) n[0] *= shrink[0], n[1] *= shrink[0], n[2] *= shrink[1], n[3] *= shrink[1];
#pragma unroll
    for (int ks = 0; ks < kKeys / 16; ++ks) {
      const uint32_t pa[4] = {
          pack_pair(p[0][4 * ks], p[0][4 * ks + 1]), pack_pair(p[1][4 * ks], p[1][4 * ks + 1]),
          pack_pair(p[0][4 * ks + 2], p[0][4 * ks + 3]), pack_pair(p[1][4 * ks + 2], p[1][4 * ks + 3])};
#pragma unroll
      for (int n = 0; n < kDims / 8; n += 2) {
        uint32_t b[4];
        load_transposed(b, shared_address(v_tile + Rows::at(ks * 16 + lane % 16,
                                                            (warp * kDims + n * 8) / 8 + lane / 16)));
        multiply_add(sum[n], pa, b[0], b[1]);
        multiply_add(sum[n + 1], pa, b[2], b[3]);
      }
    }
    __syncthreads();
    load_tile(t + kStages);
  }

#pragma unroll
  for (int i = 0; i < 2; ++i) {
    total[i] += __shfl_xor_sync(~0U, total[i], 1);
    total[i] += __shfl_xor_sync(~0U, total[i], 2);
    const int g = lane / 4 + 8 * i;
    if (g >= a.group) continue;
    const float inverse = 1 / total[i];
    const int64_t part = (int64_t{r} * kv.kv_heads + kv_head) * splits + split;
#pragma unroll
    for (int n = 0; n < kDims / 8; ++n) {
      const int d = warp * kDims + n * 8 + lane % 4 * 2;
      const float u = sum[n][2 * i], v = sum[n][2 * i + 1];
      if (ranges.count == 1) {
        const uint32_t y = pack_pair(u * inverse, v * inverse);
        *reinterpret_cast<uint32_t*>(a.y + (int64_t{r} * heads + kv_head * a.group + g) * kHead + d) = y;
        *reinterpret_cast<uint32_t*>(q_tile + (g * kHead + d) * 2) = y;  // for the digits; q is done
      } else
        *reinterpret_cast<float2*>(a.sums + (part * kHeads + g) * kHead + d) = make_float2(u, v);
    }
    if (ranges.count > 1 && warp == 0 && lane % 4 == 0)
      a.stats[part * kHeads + g] = make_float2(top[i], total[i]);
  }
  if (ranges.count == 1 && a.digits.data != nullptr) {
    __syncthreads();
    put_head_digits<kHead>(a, r, kv_head, heads, q_tile);
  }
  if (ranges.count == 1 || a.done == nullptr) return;

  __shared__ bool is_last;
  __syncthreads();
  if (tid == 0) {
    int* done = a.done + r * kv.kv_heads + kv_head;
    is_last = count_in(done) == ranges.count - 1;
    if (is_last) *done = 0;
  }
  __syncthreads();
  if (is_last)
    merge<kHead>(a, r, kv_head, kv.kv_heads, splits, ranges.count, 0, a.group * (kHead / kDigitCols),
                 *reinterpret_cast<MergeMemory*>(shared));
}

// One block a (kDigitCols dimensions, row).
template <int kHead>
__global__ void __launch_bounds__(32 * kWarps) merge_kernel(FewArgs a, int kv_heads, int splits) {
  __shared__ MergeMemory memory;
  depend_release();
  const int unit = blockIdx.x, r = blockIdx.y, of_group = a.group * (kHead / kDigitCols);
  const int position = a.position[r];
  const Ranges ranges(first_visible(a.window, position), last_visible(a.window, position, a.span_end[r]),
                      splits);
  depend_wait();
  if (ranges.count > 1)
    merge<kHead>(a, r, unit / of_group, kv_heads, splits, ranges.count, unit % of_group, 1, memory);
}

// Enough ranges to give every multiprocessor one; a sliding layer has no more keys than its window and a
// little.
int splits_of(const Device& device, const HeadShape& s) {
  const int64_t wanted = (device.multiprocessors() + s.kv_heads - 1) / s.kv_heads;
  const int64_t useful = s.window > 0 ? (s.window + kKvBlock - 2) / kLeastKeys + 1 : kMaxSplits;
  return static_cast<int>(std::min<int64_t>({wanted, useful, kMaxSplits}));
}

template <int kHead, int kKeys, int kStages>
void launch_few(const Device& device, const FewArgs& args, const KvView<__nv_bfloat16>& kv,
                const HeadShape& s, int64_t rows) {
  const int splits = splits_of(device, s);
  constexpr size_t kShared = (kStages * 2 * kKeys + 16) * Tile<kHead>::kRowBytes;
  launch(device, attend_few_kernel<kHead, kKeys, kStages>, dim3(splits, s.kv_heads, rows), dim3(32 * kWarps),
         kShared, args, kv);
  if (args.done == nullptr)
    launch(device, merge_kernel<kHead>, dim3(s.q_heads * (kHead / kDigitCols), rows), dim3(32 * kWarps), 0,
           args, static_cast<int>(s.kv_heads), splits);
}

int64_t stats_bytes(const Device& device, const HeadShape& s) {
  return kMaxRows * s.kv_heads * splits_of(device, s) * kHeads * static_cast<int64_t>(sizeof(float2));
}

}  // namespace

int64_t AttentionSplits::bytes(const Device& device, const HeadShape& s) {
  return kDoneBytes + stats_bytes(device, s) +
         kMaxRows * s.kv_heads * splits_of(device, s) * kHeads * s.head_dim * 4;
}

void attend_few(const Device& device, Tensor y, Tensor q, const HeadShape& s, const KvLayer& layer,
                const PlanView& plan, const AttentionSplits& splits, int shared_limit, DigitsOut digits) {
  require(plan.rows <= kMaxRows, "rows of decode attention");
  require(kMaxRows * s.kv_heads * static_cast<int64_t>(sizeof(int)) <= kDoneBytes, "the number of KV heads");
  auto* memory = static_cast<uint8_t*>(splits.memory);
  const FewArgs args = {static_cast<const __nv_bfloat16*>(q.data),
                        static_cast<__nv_bfloat16*>(y.data),
                        reinterpret_cast<float*>(memory + kDoneBytes + stats_bytes(device, s)),
                        reinterpret_cast<float2*>(memory + kDoneBytes),
                        s.q_heads / s.kv_heads <= kMergeHeads ? reinterpret_cast<int*>(memory) : nullptr,
                        plan.position,
                        plan.sequence,
                        plan.span_end,
                        plan.fresh,
                        static_cast<int>(s.window),
                        static_cast<int>(s.q_heads / s.kv_heads),
                        digits};
  const KvView<__nv_bfloat16> kv(layer);
  const bool large = shared_limit >= kLargeShared;  // 3 tiles of 512 dimensions in flight, else one
  if (s.head_dim == 512 && large) launch_few<512, 32, 3>(device, args, kv, s, plan.rows);
  if (s.head_dim == 512 && !large) launch_few<512, 32, 1>(device, args, kv, s, plan.rows);
  // On Hopper a full window is 17 ranges of 64 keys for each of the 12B's KV heads: one tile each.
  if (s.head_dim == 256 && large) launch_few<256, 64, 1>(device, args, kv, s, plan.rows);
  if (s.head_dim == 256 && !large) launch_few<256, 32, 2>(device, args, kv, s, plan.rows);
}

}  // namespace tessera::cuda
