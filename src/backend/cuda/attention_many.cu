// Prefill attention: y[r] = softmax(q[r] Kᵀ) V over what row r sees. On Hopper attention_wgmma.cu.
//
// One block takes the query heads of one KV head for some consecutive rows: 16 × kRowWarps pairs (row, head)
// are the rows of the tensor core's A, so a tile of K and V serves all of them. Warps are kRowWarps × kHead /
// 256: the warps of one group of 16 pairs share the keys' scores out among them and then 256 dimensions each
// of the sum. Scores in float32, softmax online, probabilities rounded to bfloat16. While the scores of a
// tile are computed its values come in, then the keys of the next.
#include <cfloat>

#include "backend/cuda/attention_many.cuh"
#include "backend/cuda/launch.h"
#include "backend/cuda/ops.h"
#include "backend/cuda/tiles.cuh"

namespace tessera::cuda {
namespace {

constexpr float kLog2e = 1.4426950408889634F;

template <int kHead, int kRowWarps, int kKeys>
struct Shape {
  static constexpr int kSplit = kHead / 256, kWarps = kRowWarps * kSplit, kThreads = 32 * kWarps;
  static constexpr int kPairs = 16 * kRowWarps;
  static constexpr int kProbabilityStride = kKeys * 2 + 16;  // bytes; padded against bank conflicts
  static constexpr int kTileBytes = kKeys * kHead * 2;
  static constexpr size_t kShared =
      kPairs * kHead * 2 + 2 * kTileBytes + (kSplit > 1 ? kPairs * kProbabilityStride : 0);
};

template <int kHead, int kRowWarps, int kKeys>
__global__ void __launch_bounds__(Shape<kHead, kRowWarps, kKeys>::kThreads, 1)
    attend_many_kernel(ManyArgs a, KvView<__nv_bfloat16> kv) {
  using S = Shape<kHead, kRowWarps, kKeys>;
  using Rows = Tile<kHead>;
  constexpr int kScoreTiles = kKeys / S::kSplit / 8;  // of 8 keys, of one warp
  constexpr int kDims = 256;                          // of one warp
  extern __shared__ __align__(128) uint8_t shared[];
  uint8_t* q_tile = shared;
  uint8_t* k_tile = q_tile + S::kPairs * Rows::kRowBytes;
  uint8_t* v_tile = k_tile + S::kTileBytes;
  uint8_t* probabilities = v_tile + S::kTileBytes;  // [pair][key], kSplit > 1
  __shared__ int positions[S::kPairs], sequences[S::kPairs], span_ends[S::kPairs];
  __shared__ float exchange[S::kSplit][S::kPairs];
  depend_release();
  depend_wait();

  const int tid = threadIdx.x, warp = tid / 32, lane = tid % 32;
  const int row_warp = warp % kRowWarps, part = warp / kRowWarps;
  const int kv_head = blockIdx.y, heads = a.group * kv.kv_heads;
  const int block_rows = S::kPairs / a.group;
  // The last rows see most: they begin first.
  const int row_begin = static_cast<int>(gridDim.x - 1 - blockIdx.x) * block_rows;
  const int count = min(block_rows, a.rows - row_begin);
  for (int i = tid; i < count; i += S::kThreads) {
    positions[i] = a.position[row_begin + i];
    sequences[i] = a.sequence[row_begin + i];
    span_ends[i] = a.span_end[row_begin + i];
  }
  for (int c = tid; c < S::kPairs * Rows::kChunks; c += S::kThreads) {
    const int pair = c / Rows::kChunks, chunk = c % Rows::kChunks, row = pair / a.group;
    uint4 v = make_uint4(0, 0, 0, 0);
    if (row < count)
      v = *reinterpret_cast<const uint4*>(
          a.q + (int64_t{row_begin + row} * heads + kv_head * a.group + pair % a.group) * kHead + chunk * 8);
    *reinterpret_cast<uint4*>(q_tile + Rows::at(pair, chunk)) = v;
  }
  __syncthreads();

  // Of this lane's two pairs.
  int pair[2], row[2];
  for (int i = 0; i < 2; ++i) {
    pair[i] = row_warp * 16 + lane / 4 + 8 * i;
    row[i] = pair[i] / a.group;
  }
  float sum[kDims / 8][4] = {};
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

    KvTiles<kHead, kKeys, S::kThreads> tiles(kv, kv_head, sequence, begin, last);
    const auto load_tile = [&](const __nv_bfloat16* cache, uint8_t* tile) {
      tiles.copy(cache, shared_address(tile), Rows::at);
      copies_commit();
    };
    tiles.seek(0);
    load_tile(kv.k, k_tile);
    int tile = 0;
    for (int key0 = begin; key0 <= last; key0 += kKeys) {
      load_tile(kv.v, v_tile);
      copies_wait<1>();
      __syncthreads();

      // Scores of kKeys / kSplit keys.
      float s[kScoreTiles][4] = {};
      const int own_key = part * kScoreTiles * 8;
#pragma unroll 4
      for (int d = 0; d < kHead; d += 32) {
        uint32_t q0[4], q1[4];
        load_matrices(q0, shared_address(q_tile + Rows::at(row_warp * 16 + lane % 16, d / 8 + lane / 16)));
        load_matrices(q1,
                      shared_address(q_tile + Rows::at(row_warp * 16 + lane % 16, d / 8 + 2 + lane / 16)));
#pragma unroll
        for (int n = 0; n < kScoreTiles; ++n) {
          uint32_t b[4];
          load_matrices(b, shared_address(k_tile + Rows::at(own_key + n * 8 + lane % 8, d / 8 + lane / 8)));
          multiply_add(s[n], q0, b[0], b[1]);
          multiply_add(s[n], q1, b[2], b[3]);
        }
      }
      const bool open = whole && key0 >= open_from && key0 + kKeys - 1 <= open_to;
      float high[2] = {top[0], top[1]};
#pragma unroll
      for (int n = 0; n < kScoreTiles; ++n)
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          if (!open) {
            const int key = key0 + own_key + n * 8 + lane % 4 * 2;
            if (key < from[i] || key > to[i]) s[n][2 * i] = -INFINITY;
            if (key + 1 < from[i] || key + 1 > to[i]) s[n][2 * i + 1] = -INFINITY;
          }
          high[i] = fmaxf(high[i], fmaxf(s[n][2 * i], s[n][2 * i + 1]));
        }
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        high[i] = fmaxf(high[i], __shfl_xor_sync(~0U, high[i], 1));
        high[i] = fmaxf(high[i], __shfl_xor_sync(~0U, high[i], 2));
        if (S::kSplit > 1 && lane % 4 == 0) exchange[part][pair[i]] = high[i];
      }
      __syncthreads();     // the keys are used up
      tiles.seek(++tile);  // the next one, of zeros behind the last: keeps the count of groups
      load_tile(kv.k, k_tile);

      float shrink[2];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        if (S::kSplit > 1) high[i] = fmaxf(high[i], exchange[S::kSplit - 1 - part][pair[i]]);
        shrink[i] = power_of_2((top[i] - high[i]) * kLog2e);
        top[i] = high[i];
        total[i] *= shrink[i];
      }
#pragma unroll
      for (int n = 0; n < kScoreTiles; ++n)
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          float* p = s[n] + 2 * i;
          p[0] = power_of_2((p[0] - high[i]) * kLog2e);
          p[1] = power_of_2((p[1] - high[i]) * kLog2e);
          total[i] += p[0] + p[1];
          if (S::kSplit > 1)
            *reinterpret_cast<uint32_t*>(probabilities + pair[i] * S::kProbabilityStride +
                                         (own_key + n * 8 + lane % 4 * 2) * 2) = pack_pair(p[0], p[1]);
        }
      if (__any_sync(~0U, shrink[0] != 1 || shrink[1] != 1))
#pragma unroll
        for (auto& e : sum) e[0] *= shrink[0], e[1] *= shrink[0], e[2] *= shrink[1], e[3] *= shrink[1];
      copies_wait<1>();
      __syncthreads();

#pragma unroll
      for (int ks = 0; ks < kKeys / 16; ++ks) {
        uint32_t p[4];
        if constexpr (S::kSplit > 1) {
          load_matrices(p,
                        shared_address(probabilities + (row_warp * 16 + lane % 16) * S::kProbabilityStride +
                                       ks * 32 + lane / 16 * 16));
        } else {
          p[0] = pack_pair(s[2 * ks][0], s[2 * ks][1]);
          p[1] = pack_pair(s[2 * ks][2], s[2 * ks][3]);
          p[2] = pack_pair(s[2 * ks + 1][0], s[2 * ks + 1][1]);
          p[3] = pack_pair(s[2 * ks + 1][2], s[2 * ks + 1][3]);
        }
#pragma unroll
        for (int n = 0; n < kDims / 8; n += 2) {
          uint32_t b[4];
          load_transposed(
              b, shared_address(v_tile + Rows::at(ks * 16 + lane % 16, part * (kDims / 8) + n + lane / 16)));
          multiply_add(sum[n], p, b[0], b[1]);
          multiply_add(sum[n + 1], p, b[2], b[3]);
        }
      }
      __syncthreads();  // the values are used up
    }
    copies_wait<0>();
  }

#pragma unroll
  for (int i = 0; i < 2; ++i) {
    total[i] += __shfl_xor_sync(~0U, total[i], 1);
    total[i] += __shfl_xor_sync(~0U, total[i], 2);
    if (S::kSplit > 1 && lane % 4 == 0) exchange[part][pair[i]] = total[i];
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    if (row[i] >= count) continue;
    float all = 0;
    for (int p = 0; p < S::kSplit; ++p) all += S::kSplit > 1 ? exchange[p][pair[i]] : total[i];
    __nv_bfloat16* out =
        a.y + (int64_t{row_begin + row[i]} * heads + kv_head * a.group + pair[i] % a.group) * kHead +
        part * kDims + lane % 4 * 2;
#pragma unroll
    for (int n = 0; n < kDims / 8; ++n)
      *reinterpret_cast<uint32_t*>(out + n * 8) = pack_pair(sum[n][2 * i] / all, sum[n][2 * i + 1] / all);
  }
}

template <int kHead, int kRowWarps, int kKeys>
void launch_many(const Device& device, const ManyArgs& args, const KvView<__nv_bfloat16>& kv) {
  using S = Shape<kHead, kRowWarps, kKeys>;
  const int block_rows = S::kPairs / args.group;
  launch(device, attend_many_kernel<kHead, kRowWarps, kKeys>,
         dim3((args.rows + block_rows - 1) / block_rows, kv.kv_heads), dim3(S::kThreads), S::kShared, args,
         kv);
}

}  // namespace

bool has_tensor_attention(const HeadShape& s, KvType type) {
  const int64_t group = s.q_heads / s.kv_heads;
  return type == KvType::kBF16 && (s.head_dim == 256 || s.head_dim == 512) && group <= 16 && 16 % group == 0;
}

void attend_many(const Device& device, Tensor y, Tensor q, const HeadShape& s, const KvLayer& layer,
                 const PlanView& plan, int shared_limit) {
  const ManyArgs args = {static_cast<const __nv_bfloat16*>(q.data),
                         static_cast<__nv_bfloat16*>(y.data),
                         plan.position,
                         plan.sequence,
                         plan.span_end,
                         static_cast<int>(plan.rows),
                         static_cast<int>(s.window),
                         static_cast<int>(s.q_heads / s.kv_heads)};
  const KvView<__nv_bfloat16> kv(layer);
  if (shared_limit >= kLargeShared && attend_wgmma(device, args, kv)) return;
  s.head_dim == 256 ? launch_many<256, 4, 32>(device, args, kv) : launch_many<512, 2, 16>(device, args, kv);
}

}  // namespace tessera::cuda
