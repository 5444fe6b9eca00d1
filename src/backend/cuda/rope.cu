// Rotary angles; norm, rotation and storing of queries, keys and values.
#include "backend/cuda/kv_view.cuh"
#include "backend/cuda/launch.h"
#include "backend/cuda/ops.h"

namespace tessera::cuda {
namespace {

constexpr int kMaxHalf = 256, kPairs = kMaxHalf / 32;  // pairs of a head that a lane holds
constexpr int kWarps = 4;

// Angles in float32, as the reference computes them; the exact functions, since positions reach 262,143.
__global__ void angles_kernel(float* cos_out, float* sin_out, const float* frequency, int half,
                              const int32_t* position, int64_t count) {
  depend_release();
  depend_wait();
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= count) return;
  float s, c;
  sincosf(__fmul_rn(static_cast<float>(position[i / half]), frequency[i % half]), &s, &c);
  cos_out[i] = c;
  sin_out[i] = s;
}

__device__ __forceinline__ void put(float* to, float v) {
  *to = v;
}
__device__ __forceinline__ void put(__nv_bfloat16* to, float v) {
  *to = __float2bfloat16_rn(v);
}

struct RopeArgs {
  const float* qkv;
  const float* q_norm;
  const float* k_norm;
  const float* cos;
  const float* sin;
  const int32_t* position;
  const int32_t* sequence;
  int q_heads, qkv_cols, v_offset;  // column of the first V head (K's when V is K before its norm)
  float eps;
};

// One warp a head: q heads, then K heads, then V heads. A lane holds both values of its pairs.
template <typename T>
__global__ void __launch_bounds__(32 * kWarps) rope_store_kernel(T* q, RopeArgs a, KvView<T> kv) {
  depend_release();
  const int unit = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / 32,
            lane = threadIdx.x % 32;
  const int64_t r = blockIdx.y;
  if (unit >= a.q_heads + 2 * kv.kv_heads) return depend_wait();
  const int hd = kv.head_dim, half = hd / 2;
  const bool is_q = unit < a.q_heads, is_v = unit >= a.q_heads + kv.kv_heads;
  const int head = is_q ? unit : is_v ? unit - a.q_heads - kv.kv_heads : unit - a.q_heads;
  const float* in = a.qkv + r * a.qkv_cols + (is_v ? a.v_offset + head * hd : unit * hd);
  const float* weight = is_q ? a.q_norm : a.k_norm;

  float x[kPairs], y[kPairs], cos[kPairs], sin[kPairs], x_weight[kPairs], y_weight[kPairs], squares = 0;
#pragma unroll
  for (int p = 0; p < kPairs; ++p) {
    const int i = lane + 32 * p;
    if (is_v || i >= half) break;
    x_weight[p] = weight[i], y_weight[p] = weight[i + half];
  }
  depend_wait();
#pragma unroll
  for (int p = 0; p < kPairs; ++p) {
    const int i = lane + 32 * p;
    if (i >= half) break;
    x[p] = in[i], y[p] = in[i + half];
    if (!is_v) cos[p] = a.cos[r * half + i], sin[p] = a.sin[r * half + i];
    squares += x[p] * x[p] + y[p] * y[p];
  }
#pragma unroll
  for (int o = 16; o > 0; o /= 2) squares += __shfl_xor_sync(~0U, squares, o);
  const float scale = 1 / sqrtf(squares / static_cast<float>(hd) + a.eps);

  T* out = nullptr;
  if (is_q) {
    out = q + (r * a.q_heads + head) * hd;
  } else {
    const int position = a.position[r];
    out = (is_v ? kv.v : kv.k) + kv.at(kv.block_of(a.sequence[r], position), position, head);
  }
#pragma unroll
  for (int p = 0; p < kPairs; ++p) {
    const int i = lane + 32 * p;
    if (i >= half) break;
    float u = x[p] * scale, v = y[p] * scale;
    if (!is_v) {
      u *= x_weight[p], v *= y_weight[p];
      const float turned = u * cos[p] - v * sin[p];
      v = v * cos[p] + u * sin[p];
      u = turned;
    }
    put(out + i, u);
    put(out + i + half, v);
  }
}

}  // namespace

void rope_angles(const Device& device, RopeTable out, Weight frequency, const PlanView& plan) {
  const int64_t count = plan.rows * frequency.cols;
  launch(device, angles_kernel, dim3((count + 127) / 128), dim3(128), 0, out.cos.f32(), out.sin.f32(),
         static_cast<const float*>(frequency.data), static_cast<int>(frequency.cols), plan.position, count);
}

void rope_store(const Device& device, Tensor q, Tensor qkv, const HeadShape& s, const float* q_norm,
                const float* k_norm, RopeTable rope, const PlanView& plan, const KvLayer& kv) {
  require(s.head_dim % 2 == 0 && s.head_dim <= 2 * kMaxHalf, "the size of a head");
  require(kv.type != KvType::kQ8 && (q.dtype == DType::kBF16) == (kv.type == KvType::kBF16), "the format of KV");
  const auto at = [&](int64_t head) { return static_cast<int>(head * s.head_dim); };
  const RopeArgs args = {qkv.f32(),
                         q_norm,
                         k_norm,
                         rope.cos.f32(),
                         rope.sin.f32(),
                         plan.position,
                         plan.sequence,
                         static_cast<int>(s.q_heads),
                         static_cast<int>(qkv.cols),
                         at(s.v_is_k ? s.q_heads : s.q_heads + s.kv_heads),
                         s.norm_eps};
  const dim3 grid((s.q_heads + 2 * s.kv_heads + kWarps - 1) / kWarps, plan.rows), block(32 * kWarps);
  if (kv.type == KvType::kBF16)
    launch(device, rope_store_kernel<__nv_bfloat16>, grid, block, 0, static_cast<__nv_bfloat16*>(q.data), args,
           KvView<__nv_bfloat16>(kv));
  else
    launch(device, rope_store_kernel<float>, grid, block, 0, q.f32(), args, KvView<float>(kv));
}

}  // namespace tessera::cuda
