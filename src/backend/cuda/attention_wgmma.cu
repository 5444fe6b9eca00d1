// Prefill attention with Hopper's warpgroup products, which read K and V from shared memory once for four
// warps.
//
// A block of two warpgroups takes the query heads of one KV head for some consecutive rows. Heads of 256:
// each warpgroup has 64 pairs (row, head) of its own. Heads of 512: both have the same 64 pairs, share the
// keys' scores out among them and then have 256 dimensions of the sum each, as a sum's registers are no more.
// Scores in float32, softmax online, probabilities rounded to bfloat16, as in attention_many.cu.
#include <cfloat>

#include "backend/cuda/attention_many.cuh"
#include "backend/cuda/launch.h"
#include "backend/cuda/ops.h"
#include "backend/cuda/tiles.cuh"
#include "backend/cuda/wgmma.cuh"

namespace tessera::cuda {
namespace {

[[maybe_unused]] constexpr float kLog2e = 1.4426950408889634F;
constexpr int kGroups = 2, kThreads = 128 * kGroups, kGroupPairs = 64, kKeys = 64;
constexpr int kDims = 256;  // of a warpgroup's sum

template <int kHead>
struct Shape {
  static constexpr int kSplit = kHead / kDims, kPairs = kGroupPairs * kGroups / kSplit;
  static constexpr int kOwnKeys = kKeys / kSplit;            // whose scores a warpgroup computes
  static constexpr int kStages = kSplit == 1 ? 2 : 1;        // tiles of K and of V
  static constexpr int kProbabilityStride = kKeys * 2 + 16;  // bytes; padded against bank conflicts
  static constexpr int kQBytes = kPairs * kHead * 2, kTileBytes = kKeys * kHead * 2;
  static constexpr int kAlign = 1024;
  static constexpr size_t kShared =
      kAlign + kQBytes + 2 * kStages * kTileBytes + (kSplit > 1 ? kPairs * kProbabilityStride : 0);
};

#if TESSERA_WGMMA
// All of a block's copies but the last kPending groups have arrived, for everybody and for products.
template <int kPending>
__device__ __forceinline__ void arrived() {
  copies_wait<kPending>();
  publish_to_wgmma();
  __syncthreads();
}
#endif

template <int kHead>
__global__ void __launch_bounds__(kThreads, 1) attend_wgmma_kernel(ManyArgs a, KvView<__nv_bfloat16> kv) {
#if TESSERA_WGMMA
  using S = Shape<kHead>;
  using QPanels = Panels<kGroupPairs>;
  using KvPanels = Panels<kKeys>;
  constexpr int kChunks = kHead / 8, kPanels = kHead / 64;
  // Scores of the next tile are computed beside the softmax of this one.
  constexpr bool kAhead = S::kStages > 1;
  extern __shared__ uint8_t unaligned[];
  uint8_t* shared = unaligned + (-shared_address(unaligned) & (S::kAlign - 1));
  uint8_t *q_tile = shared, *k_tiles = q_tile + S::kQBytes, *v_tiles = k_tiles + S::kStages * S::kTileBytes;
  uint8_t* probabilities = v_tiles + S::kStages * S::kTileBytes;  // [pair][key], kSplit > 1
  __shared__ int positions[S::kPairs], sequences[S::kPairs], span_ends[S::kPairs];
  __shared__ float exchange[S::kSplit][S::kPairs];
  depend_release();
  depend_wait();

  const int tid = threadIdx.x, warpgroup = tid / 128, warp = tid / 32 % 4, lane = tid % 32;
  const int part = S::kSplit > 1 ? warpgroup : 0;                       // of the keys, then of the dimensions
  const int group_pairs = S::kSplit > 1 ? 0 : warpgroup * kGroupPairs;  // first pair
  const int kv_head = blockIdx.y, heads = a.group * kv.kv_heads;
  const int block_rows = S::kPairs / a.group;
  // The last rows see most: they begin first.
  const int row_begin = static_cast<int>(gridDim.x - 1 - blockIdx.x) * block_rows;
  const int count = min(block_rows, a.rows - row_begin);
  for (int i = tid; i < count; i += kThreads) {
    positions[i] = a.position[row_begin + i];
    sequences[i] = a.sequence[row_begin + i];
    span_ends[i] = a.span_end[row_begin + i];
  }
  const uint32_t q_at = shared_address(q_tile);  // arrives with the first keys
#pragma unroll 8
  for (int c = tid; c < S::kPairs * kChunks; c += kThreads) {
    const int pair = c / kChunks, chunk = c % kChunks, row = pair / a.group;
    copy_16_or_zeros(
        q_at + pair / kGroupPairs * (kPanels * QPanels::kBytes) + QPanels::at(pair % kGroupPairs, chunk),
        a.q + (int64_t{row_begin + row} * heads + kv_head * a.group + pair % a.group) * kHead + chunk * 8,
        row < count);
  }
  __syncthreads();

  // Of this lane's two pairs.
  int pair[2], row[2];
  for (int i = 0; i < 2; ++i) {
    pair[i] = group_pairs + warp * 16 + lane / 4 + 8 * i;
    row[i] = pair[i] / a.group;
  }
  const uint64_t own_q =
      matrix_descriptor(q_at + group_pairs / kGroupPairs * (kPanels * QPanels::kBytes), QPanels::kBytes);
  float sum[kDims / 2] = {};
  float top[2] = {-FLT_MAX, -FLT_MAX}, total[2] = {0, 0};

  for (Run run = {}; run.end < count;) {
    run = run_from(run.end, count, a.window, positions, sequences, span_ends);
    const int sequence = sequences[run.begin], last = run.last;
    const int first = first_visible(a.window, positions[run.begin]);
    const int begin = first / static_cast<int>(kKvBlock) * static_cast<int>(kKvBlock);
    // Tiles between these hold no key that is hidden from a row.
    const bool whole = run.begin == 0 && run.end == count && count == block_rows;
    const int open_from = first_visible(a.window, positions[run.end - 1]),
              open_to = last_visible(a.window, positions[run.begin], span_ends[run.begin]);
    int from[2], to[2];
    for (int i = 0; i < 2; ++i) {
      const bool mine = row[i] >= run.begin && row[i] < run.end;
      from[i] = mine ? first_visible(a.window, positions[row[i]]) : 1;
      to[i] = mine ? last_visible(a.window, positions[row[i]], span_ends[row[i]]) : 0;
    }

    KvTiles<kHead, kKeys, kThreads> tiles(kv, kv_head, sequence, begin, last);
    const auto load_tile = [&](const __nv_bfloat16* cache, uint8_t* tile) {
      tiles.copy(cache, shared_address(tile), KvPanels::at);
    };
    const auto tile_of = [&](uint8_t* tiles_of, int tile) {
      return tiles_of + tile % S::kStages * S::kTileBytes;
    };
    // Starts the scores of this warpgroup's keys of a tile.
    const auto multiply_scores = [&](float(&s)[S::kOwnKeys / 2], int tile) {
      const uint64_t k_at = matrix_descriptor(
          shared_address(tile_of(k_tiles, tile)) + part * S::kOwnKeys * 128, KvPanels::kBytes);
      wgmma_fence();
#pragma unroll
      for (int step = 0; step < kHead / 16; ++step) {
        const auto ahead = [&](int panel_bytes) { return (step / 4 * panel_bytes + step % 4 * 32) / 16; };
        wgmma_scores<S::kOwnKeys>(s, own_q + ahead(QPanels::kBytes), k_at + ahead(KvPanels::kBytes),
                                  step != 0);
      }
      wgmma_commit();
    };

    __syncthreads();  // the last run's tiles are used up
    const int count_tiles = (last - begin) / kKeys + 1;
    float s[S::kOwnKeys / 2], next[S::kOwnKeys / 2];
    tiles.seek(0);
    load_tile(kv.k, k_tiles);
    if constexpr (kAhead) {
      copies_commit();
      arrived<0>();
      load_tile(kv.v, v_tiles);
      tiles.seek(1);
      load_tile(kv.k, tile_of(k_tiles, 1));
      multiply_scores(s, 0);
      wgmma_wait<0>();
    }
    copies_commit();
    for (int tile = 0; tile < count_tiles; ++tile) {
      const int key0 = begin + tile * kKeys;
      arrived<0>();  // and what came before is used up
      if constexpr (kAhead) {
        load_tile(kv.v, tile_of(v_tiles, tile + 1));
        tiles.seek(tile + 2);
        load_tile(kv.k, tile_of(k_tiles, tile + 2));
      } else {
        load_tile(kv.v, v_tiles);
      }
      copies_commit();
      multiply_scores(kAhead ? next : s, tile + (kAhead ? 1 : 0));
      if constexpr (!kAhead) wgmma_wait<0>();

      const int own_key = part * S::kOwnKeys;
      const bool open = whole && key0 >= open_from && key0 + kKeys - 1 <= open_to;
      float high[2] = {top[0], top[1]};
#pragma unroll
      for (int n = 0; n < S::kOwnKeys / 8; ++n)
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          float* p = s + 4 * n + 2 * i;
          if (!open) {
            const int key = key0 + own_key + n * 8 + lane % 4 * 2;
            if (key < from[i] || key > to[i]) p[0] = -INFINITY;
            if (key + 1 < from[i] || key + 1 > to[i]) p[1] = -INFINITY;
          }
          high[i] = fmaxf(high[i], fmaxf(p[0], p[1]));
        }
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        high[i] = fmaxf(high[i], __shfl_xor_sync(~0U, high[i], 1));
        high[i] = fmaxf(high[i], __shfl_xor_sync(~0U, high[i], 2));
        if (S::kSplit > 1 && lane % 4 == 0) exchange[part][pair[i]] = high[i];
      }
      if constexpr (S::kSplit > 1) {
        __syncthreads();  // the keys are used up
        tiles.seek(tile + 1);
        load_tile(kv.k, k_tiles);
        copies_commit();
      }

      float shrink[2];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        if (S::kSplit > 1) high[i] = fmaxf(high[i], exchange[S::kSplit - 1 - part][pair[i]]);
        shrink[i] = power_of_2((top[i] - high[i]) * kLog2e);
        top[i] = high[i];
        total[i] *= shrink[i];
      }
#pragma unroll
      for (int n = 0; n < S::kOwnKeys / 8; ++n)
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          float* p = s + 4 * n + 2 * i;
          p[0] = power_of_2((p[0] - high[i]) * kLog2e);
          p[1] = power_of_2((p[1] - high[i]) * kLog2e);
          total[i] += p[0] + p[1];
          if (S::kSplit > 1)
            *reinterpret_cast<uint32_t*>(probabilities + pair[i] * S::kProbabilityStride +
                                         (own_key + n * 8 + lane % 4 * 2) * 2) = pack_pair(p[0], p[1]);
        }
      if (__any_sync(~0U, shrink[0] != 1 || shrink[1] != 1))
#pragma unroll
        for (int n = 0; n < kDims / 8; ++n)
#pragma unroll
          for (int i = 0; i < 4; ++i) sum[4 * n + i] *= shrink[i / 2];
      uint32_t p[kKeys / 16][4];
      if constexpr (S::kSplit > 1) {
        arrived<1>();
#pragma unroll
        for (int step = 0; step < kKeys / 16; ++step)
          load_matrices(p[step],
                        shared_address(probabilities + (warp * 16 + lane % 16) * S::kProbabilityStride +
                                       step * 32 + lane / 16 * 16));
      } else {
#pragma unroll
        for (int step = 0; step < kKeys / 16; ++step)
#pragma unroll
          for (int i = 0; i < 4; ++i) p[step][i] = pack_pair(s[8 * step + 2 * i], s[8 * step + 2 * i + 1]);
      }

      const uint64_t v_at = matrix_descriptor(
          shared_address(tile_of(v_tiles, tile)) + part * (kDims / 64) * KvPanels::kBytes, KvPanels::kBytes);
      wgmma_fence();
#pragma unroll
      for (int step = 0; step < kKeys / 16; ++step) wgmma_sum(sum, p[step], v_at + step * 16 * 128 / 16);
      wgmma_commit();
      wgmma_wait<0>();
      if constexpr (kAhead)
#pragma unroll
        for (int n = 0; n < S::kOwnKeys / 2; ++n) s[n] = next[n];
    }
    copies_wait<0>();
  }

#pragma unroll
  for (int i = 0; i < 2; ++i) {
    total[i] += __shfl_xor_sync(~0U, total[i], 1);
    total[i] += __shfl_xor_sync(~0U, total[i], 2);
  }
  if constexpr (S::kSplit > 1) {
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 2; ++i)
      if (lane % 4 == 0) exchange[part][pair[i]] = total[i];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 2; ++i) total[i] = exchange[0][pair[i]] + exchange[S::kSplit - 1][pair[i]];
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    if (row[i] >= count) continue;
    __nv_bfloat16* out =
        a.y + (int64_t{row_begin + row[i]} * heads + kv_head * a.group + pair[i] % a.group) * kHead +
        part * kDims + lane % 4 * 2;
#pragma unroll
    for (int n = 0; n < kDims / 8; ++n)
      *reinterpret_cast<uint32_t*>(out + n * 8) =
          pack_pair(sum[4 * n + 2 * i] / total[i], sum[4 * n + 2 * i + 1] / total[i]);
  }
#endif
}

template <int kHead>
void launch_wgmma(const Device& device, const ManyArgs& args, const KvView<__nv_bfloat16>& kv) {
  const int block_rows = Shape<kHead>::kPairs / args.group;
  launch(device, attend_wgmma_kernel<kHead>, dim3((args.rows + block_rows - 1) / block_rows, kv.kv_heads),
         dim3(kThreads), Shape<kHead>::kShared, args, kv);
}

}  // namespace

bool attend_wgmma([[maybe_unused]] const Device& device, [[maybe_unused]] const ManyArgs& args,
                  [[maybe_unused]] const KvView<__nv_bfloat16>& kv) {
#if defined(TESSERA_SM_90A)  // else the kernels of this build are empty
  if (device.capability() != 90) return false;
  kv.head_dim == 256 ? launch_wgmma<256>(device, args, kv) : launch_wgmma<512>(device, args, kv);
  return true;
#else
  return false;
#endif
}

}  // namespace tessera::cuda
