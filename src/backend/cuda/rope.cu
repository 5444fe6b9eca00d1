// Rotary angles; norm, rotation and storing of queries, keys and values.
#include "backend/cuda/kv_view.cuh"
#include "backend/cuda/launch.h"
#include "backend/cuda/ops.h"

namespace tessera::cuda {
namespace {

constexpr int kMaxHalf = 256, kPairs = kMaxHalf / 32;  // pairs of a head that a lane holds at most
constexpr int kWarps = 4;

// Angles in float32, as the reference computes them; the exact functions, since positions reach 262,143.
__global__ void angles_kernel(float* cos_out, float* sin_out, const float* frequency, int half,
                              const int32_t* turn, int64_t count) {
  depend_release();
  depend_wait();
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= count) return;
  float s, c;
  sincosf(__fmul_rn(static_cast<float>(turn[i / half]), frequency[i % half]), &s, &c);
  cos_out[i] = c;
  sin_out[i] = s;
}

template <int kVec>
__device__ __forceinline__ void load(float* to, const float* from) {
  if constexpr (kVec == 4)
    *reinterpret_cast<float4*>(to) = *reinterpret_cast<const float4*>(from);
  else
    *to = *from;
}

template <int kVec>
__device__ __forceinline__ void put(float* to, const float* v) {
  load<kVec>(to, v);
}
template <int kVec>
__device__ __forceinline__ void put(__nv_bfloat16* to, const float* v) {
  if constexpr (kVec == 4) {
    const __nv_bfloat162 a = __floats2bfloat162_rn(v[0], v[1]), b = __floats2bfloat162_rn(v[2], v[3]);
    *reinterpret_cast<uint2*>(to) =
        make_uint2(reinterpret_cast<const uint32_t&>(a), reinterpret_cast<const uint32_t&>(b));
  } else {
    *to = __float2bfloat16_rn(*v);
  }
}

struct RopeArgs {
  const float* qkv;
  const float* q_norm;
  const float* k_norm;
  const float* cos;
  const float* sin;
  const int32_t* position;
  const int32_t* sequence;
  int q_heads, units;      // units: heads of q, K and V together
  int qkv_cols, v_offset;  // column of the first V head (K's when V is K before its norm)
  float eps;
};

// One warp a head: q heads, then K heads, then V heads. A lane holds both values of its pairs, kVec
// neighbours at a time.
template <typename T, int kVec>
__global__ void __launch_bounds__(32 * kWarps) rope_store_kernel(T* q, RopeArgs a, KvView<T> kv) {
  depend_release();
  const int unit = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / 32,
            lane = threadIdx.x % 32;
  const int64_t r = blockIdx.y;
  if (unit >= a.units) return depend_wait();
  const int hd = kv.head_dim, half = hd / 2;
  const bool is_q = unit < a.q_heads, is_v = unit >= a.q_heads + kv.kv_heads;
  const int head = is_q ? unit : is_v ? unit - a.q_heads - kv.kv_heads : unit - a.q_heads;
  const float* in = a.qkv + r * a.qkv_cols + (is_v ? a.v_offset + head * hd : unit * hd);
  const float* weight = is_q ? a.q_norm : a.k_norm;
  // f(index of this lane's values, their first pair)
  const auto each = [&](const auto& f) {
#pragma unroll
    for (int p = 0; p < kPairs; p += kVec)
      if (const int i = (lane + 32 * (p / kVec)) * kVec; i < half) f(p, i);
  };

  __align__(16) float x[kPairs], y[kPairs], cos[kPairs], sin[kPairs], x_weight[kPairs], y_weight[kPairs];
  float squares = 0;
  if (!is_v)
    each([&](int p, int i) {
      load<kVec>(x_weight + p, weight + i);
      load<kVec>(y_weight + p, weight + i + half);
    });
  T* out = q + (r * a.q_heads + head) * hd;
  if (!is_q) {
    const int position = a.position[r];
    out = (is_v ? kv.v : kv.k) + kv.at(kv.block_of(a.sequence[r], position), position, head);
  }
  depend_wait();
  each([&](int p, int i) {
    load<kVec>(x + p, in + i);
    load<kVec>(y + p, in + i + half);
    if (!is_v) {
      load<kVec>(cos + p, a.cos + r * half + i);
      load<kVec>(sin + p, a.sin + r * half + i);
    }
#pragma unroll
    for (int v = p; v < p + kVec; ++v) squares += x[v] * x[v] + y[v] * y[v];
  });
#pragma unroll
  for (int o = 16; o > 0; o /= 2) squares += __shfl_xor_sync(~0U, squares, o);
  const float scale = 1 / sqrtf(squares / static_cast<float>(hd) + a.eps);

  each([&](int p, int i) {
#pragma unroll
    for (int e = p; e < p + kVec; ++e) {
      float u = x[e] * scale, v = y[e] * scale;
      if (!is_v) {
        u *= x_weight[e], v *= y_weight[e];
        const float turned = u * cos[e] - v * sin[e];
        v = v * cos[e] + u * sin[e];
        u = turned;
      }
      x[e] = u, y[e] = v;
    }
    put<kVec>(out + i, x + p);
    put<kVec>(out + i + half, y + p);
  });
}

}  // namespace

void rope_angles(const Device& device, RopeTable out, Weight frequency, const PlanView& plan) {
  const int64_t count = plan.rows * frequency.cols;
  launch(device, angles_kernel, dim3((count + 127) / 128), dim3(128), 0, out.cos.f32(), out.sin.f32(),
         static_cast<const float*>(frequency.data), static_cast<int>(frequency.cols), plan.turn, count);
}

void rope_store(const Device& device, Tensor q, Tensor qkv, const HeadShape& s, const float* q_norm,
                const float* k_norm, RopeTable rope, const PlanView& plan, const KvLayer& kv) {
  require(s.head_dim % 2 == 0 && s.head_dim <= 2 * kMaxHalf, "the size of a head");
  require(kv.type != KvType::kQ8 && (q.dtype == DType::kBF16) == (kv.type == KvType::kBF16),
          "the format of KV");
  const auto at = [&](int64_t head) { return static_cast<int>(head * s.head_dim); };
  const int units = static_cast<int>(s.q_heads + (s.own_kv ? 2 * s.kv_heads : 0));
  const RopeArgs args = {qkv.f32(),
                         q_norm,
                         k_norm,
                         rope.cos.f32(),
                         rope.sin.f32(),
                         plan.position,
                         plan.sequence,
                         static_cast<int>(s.q_heads),
                         units,
                         static_cast<int>(qkv.cols),
                         at(s.v_is_k ? s.q_heads : s.q_heads + s.kv_heads),
                         s.norm_eps};
  const dim3 grid((units + kWarps - 1) / kWarps, plan.rows), block(32 * kWarps);
  const auto start = [&]<typename T>(T* q_out) {
    if (s.head_dim % 8 == 0)
      launch(device, rope_store_kernel<T, 4>, grid, block, 0, q_out, args, KvView<T>(kv));
    else
      launch(device, rope_store_kernel<T, 1>, grid, block, 0, q_out, args, KvView<T>(kv));
  };
  if (kv.type == KvType::kBF16)
    start(static_cast<__nv_bfloat16*>(q.data));
  else
    start(q.f32());
}

}  // namespace tessera::cuda
