#include "backend/cuda/launch.h"
#include "backend/cuda/peer_sum.h"
#include "backend/cuda/row.cuh"

namespace tessera::cuda {
namespace {

constexpr unsigned long long kPatienceNs = 10'000'000'000ULL;

__device__ __forceinline__ void store_flagged(uint4* to, float a, float b, uint32_t turn) {
  asm volatile("st.volatile.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(to), "r"(__float_as_uint(a)),
               "r"(turn), "r"(__float_as_uint(b)), "r"(turn)
               : "memory");
}

__device__ __forceinline__ uint4 load_volatile(const uint4* from) {
  uint4 v;
  asm volatile("ld.volatile.global.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(from)
               : "memory");
  return v;
}

__device__ __forceinline__ unsigned long long now_ns() {
  unsigned long long t;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(t));
  return t;
}

__device__ __forceinline__ int64_t inbox_at(const PeerArgs& p, uint32_t turn, int from, int row, int vector) {
  return (((int64_t{turn & 1U} * p.ranks + from) * kPeerRows + row) * kPeerVectors + vector) * 2;
}

// Zeros when the other card does not answer: the host finds `failed` set.
__device__ __forceinline__ float4 take(const PeerArgs& p, const uint4* at, uint32_t turn, int from) {
  unsigned long long begin = 0;
  for (uint32_t tries = 1;; ++tries) {
    const uint4 a = load_volatile(at), b = load_volatile(at + 1);
    if (a.y == turn && a.w == turn && b.y == turn && b.w == turn)
      return make_float4(__uint_as_float(a.x), __uint_as_float(a.z), __uint_as_float(b.x),
                         __uint_as_float(b.z));
    if (tries % 1024 != 0) continue;
    if (*static_cast<volatile int*>(p.failed_here) != 0) break;
    if (*static_cast<volatile int*>(p.failed) != 0) {
      *static_cast<volatile int*>(p.failed_here) = 1;
      break;
    }
    const unsigned long long now = now_ns();
    if (begin == 0) begin = now;
    if (now - begin < kPatienceNs) continue;
    *static_cast<volatile int*>(p.failed_here) = 1;
    *static_cast<volatile int*>(p.failed) = from + 1;
    __threadfence_system();
    break;
  }
  return make_float4(0, 0, 0, 0);
}

// A turn's inbox is written again two turns later, when every card has ended the turn between, for which it
// had to have read this one.
__device__ __forceinline__ float4 exchange(const PeerArgs& p, uint32_t turn, int row, int vector,
                                           float4 own) {
  for (int r = 0; r < p.ranks; ++r) {
    if (r == p.rank) continue;
    uint4* at = p.to[r] + inbox_at(p, turn, p.rank, row, vector);
    store_flagged(at, own.x, own.y, turn);
    store_flagged(at + 1, own.z, own.w, turn);
  }
  float4 sum = make_float4(0, 0, 0, 0);
  for (int r = 0; r < p.ranks; ++r) {
    const float4 v = r == p.rank ? own : take(p, p.inbox + inbox_at(p, turn, r, row, vector), turn, r);
    sum.x += v.x, sum.y += v.y, sum.z += v.z, sum.w += v.w;
  }
  return sum;
}

__global__ void __launch_bounds__(kPeerVectors) peer_sum_kernel(PeerArgs p, float4* y, int vectors) {
  depend_release();
  depend_wait();
  const int row = blockIdx.x, i = threadIdx.x;
  const uint32_t turn = p.turn[row] + 1;
  __syncthreads();  // all have read it
  if (i == 0) p.turn[row] = turn;
  if (i >= vectors) return;
  float4& at = y[int64_t{row} * vectors + i];
  at = exchange(p, turn, row, i, at);
}

template <typename Out>
__global__ void __launch_bounds__(kPeerVectors)
    peer_sum_residual_norm_kernel(PeerArgs p, float* x, const float* y, const float* w_post, float scale,
                                  Out* h, const float* w_next, int cols, float eps) {
  __shared__ __align__(16) float partial[2][32];
  const int row = blockIdx.x, c = static_cast<int>(threadIdx.x) * 4;
  const bool in = c < cols;
  float post_weight[4], next_weight[4], stream[4] = {}, branch[4] = {};
  depend_release();
  if (in) {
    load<4>(post_weight, w_post + c);
    load<4>(next_weight, w_next + c);
  }
  depend_wait();
  const int64_t at = int64_t{row} * cols;
  const uint32_t turn = p.turn[row] + 1;
  float squares = 0;
  if (in) {
    load<4>(branch, y + at + c);
    load<4>(stream, x + at + c);
    const float4 sum = exchange(p, turn, row, static_cast<int>(threadIdx.x),
                                make_float4(branch[0], branch[1], branch[2], branch[3]));
    branch[0] = sum.x, branch[1] = sum.y, branch[2] = sum.z, branch[3] = sum.w;
    for (const float e : branch) squares += e * e;
  }
  const float n = static_cast<float>(cols);
  const float post = 1 / sqrtf(block_sum(squares, partial[0]) / n + eps);
  if (threadIdx.x == 0) p.turn[row] = turn;  // behind block_sum's barrier: all have read it
  squares = 0;
  if (in) {
    for (int i = 0; i < 4; ++i) {
      stream[i] = (stream[i] + branch[i] * post * post_weight[i]) * scale;
      squares += stream[i] * stream[i];
    }
    store<4>(x + at + c, stream);
  }
  const float next = 1 / sqrtf(block_sum(squares, partial[1]) / n + eps);
  if (!in) return;
  float out[4];
  for (int i = 0; i < 4; ++i) out[i] = stream[i] * next * next_weight[i];
  store<4>(h + at + c, out);
}

dim3 threads_of(int64_t cols) {
  return dim3(static_cast<unsigned>((cols / 4 + 31) / 32 * 32));
}

}  // namespace

void peer_sum(const Device& device, const PeerArgs& peers, Tensor y) {
  launch(device, peer_sum_kernel, dim3(y.rows), threads_of(y.cols), 0, peers, static_cast<float4*>(y.data),
         static_cast<int>(y.cols / 4));
}

void peer_sum_residual_norm(const Device& device, const PeerArgs& peers, Tensor x, Tensor y,
                            const float* w_post, float scale, Tensor h, const float* w_next, float eps) {
  const auto start = [&]<typename Out>(Out* to) {
    launch(device, peer_sum_residual_norm_kernel<Out>, dim3(x.rows), threads_of(x.cols), 0, peers, x.f32(),
           static_cast<const float*>(y.data), w_post, scale, to, w_next, static_cast<int>(x.cols), eps);
  };
  if (h.dtype == DType::kBF16)
    start(static_cast<__nv_bfloat16*>(h.data));
  else
    start(h.f32());
}

}  // namespace tessera::cuda
