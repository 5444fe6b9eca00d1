// y[r] = softmax(q[r] Kᵀ) V for head sizes that the tensor-core kernels do not take, and for float32.
// One block a row and query head; its warps take keys in turn and are merged in order.
#include <cfloat>

#include "backend/cuda/kv_view.cuh"
#include "backend/cuda/launch.h"
#include "backend/cuda/ops.h"

namespace tessera::cuda {
namespace {

constexpr int kMaxHead = 512, kPerLane = kMaxHead / 32, kWarps = 4;

__device__ __forceinline__ float get(const float* p) {
  return *p;
}
__device__ __forceinline__ float get(const __nv_bfloat16* p) {
  return __bfloat162float(*p);
}
__device__ __forceinline__ void put(float* to, float v) {
  *to = v;
}
__device__ __forceinline__ void put(__nv_bfloat16* to, float v) {
  *to = __float2bfloat16_rn(v);
}

template <typename T>
__global__ void __launch_bounds__(32 * kWarps)
    attend_any_kernel(T* y, const T* q, KvView<T> kv, int window, const int32_t* positions,
                      const int32_t* sequences, const int32_t* span_ends) {
  __shared__ float merged[kWarps][kMaxHead], tops[kWarps], totals[kWarps];
  depend_release();
  depend_wait();
  const int64_t r = blockIdx.y;
  const int head = blockIdx.x, heads = gridDim.x, hd = kv.head_dim, warp = threadIdx.x / 32,
            lane = threadIdx.x % 32;
  const int kv_head = head / (heads / kv.kv_heads), position = positions[r], sequence = sequences[r];
  const int first = first_visible(window, position), last = last_visible(window, position, span_ends[r]);

  float query[kPerLane], sum[kPerLane];
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const int d = lane + 32 * i;
    query[i] = d < hd ? get(q + (r * heads + head) * hd + d) : 0;
    sum[i] = 0;
  }
  float top = -FLT_MAX, total = 0;
  for (int key = first + warp; key <= last; key += kWarps) {
    const int64_t at = kv.at(kv.block_of(sequence, key), key, kv_head);
    float score = 0;
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) {
      const int d = lane + 32 * i;
      if (d < hd) score += query[i] * get(kv.k + at + d);
    }
#pragma unroll
    for (int o = 16; o > 0; o /= 2) score += __shfl_xor_sync(~0U, score, o);
    const float higher = fmaxf(top, score), shrink = expf(top - higher), p = expf(score - higher);
    top = higher;
    total = total * shrink + p;
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) {
      const int d = lane + 32 * i;
      if (d < hd) sum[i] = sum[i] * shrink + p * get(kv.v + at + d);
    }
  }
#pragma unroll
  for (int i = 0; i < kPerLane; ++i)
    if (const int d = lane + 32 * i; d < hd) merged[warp][d] = sum[i];
  if (lane == 0) tops[warp] = top, totals[warp] = total;
  __syncthreads();
  float highest = tops[0];
  for (int w = 1; w < kWarps; ++w) highest = fmaxf(highest, tops[w]);
  float all = 0;
  for (int w = 0; w < kWarps; ++w) all += totals[w] * expf(tops[w] - highest);
  for (int d = threadIdx.x; d < hd; d += 32 * kWarps) {
    float v = 0;
    for (int w = 0; w < kWarps; ++w) v += merged[w][d] * expf(tops[w] - highest);
    put(y + (r * heads + head) * hd + d, v / all);
  }
}

}  // namespace

void attend_any(const Device& device, Tensor y, Tensor q, const HeadShape& s, const KvLayer& kv,
                const PlanView& plan) {
  require(s.head_dim <= kMaxHead, "the size of a head");
  const dim3 grid(s.q_heads, plan.rows), block(32 * kWarps);
  const int window = static_cast<int>(s.window);
  if (kv.type == KvType::kBF16)
    launch(device, attend_any_kernel<__nv_bfloat16>, grid, block, 0, static_cast<__nv_bfloat16*>(y.data),
           static_cast<const __nv_bfloat16*>(q.data), KvView<__nv_bfloat16>(kv), window, plan.position,
           plan.sequence, plan.span_end);
  else
    launch(device, attend_any_kernel<float>, grid, block, 0, y.f32(), static_cast<const float*>(q.data),
           KvView<float>(kv), window, plan.position, plan.sequence, plan.span_end);
}

}  // namespace tessera::cuda
