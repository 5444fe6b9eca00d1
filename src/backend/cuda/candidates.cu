// The likeliest tokens of one row of logits: each block sorts its share down to the best `count`, a last
// block merges. What is compared is (logit, lower id first) as one 64-bit key, so the order is total and the
// result exact.
#include <utility>

#include "backend/cuda/launch.h"
#include "backend/cuda/ops.h"

namespace tessera::cuda {
namespace {

using Key = unsigned long long;
constexpr int kThreads = 512, kShare = 2048;  // keys that a block sorts

// Larger is better. A float's bits order as integers once negative ones are turned over.
__device__ __forceinline__ Key key_of(float logit, int32_t id) {
  const uint32_t bits = __float_as_uint(logit == 0 ? 0.0F : logit);  // -0 is 0
  const uint32_t ordered = bits & 0x80000000U ? ~bits : bits | 0x80000000U;
  return Key{ordered} << 32 | (0xFFFFFFFFU - static_cast<uint32_t>(id));
}
__device__ __forceinline__ Candidate candidate_of(Key key) {
  const auto ordered = static_cast<uint32_t>(key >> 32);
  return {__uint_as_float(ordered & 0x80000000U ? ordered & 0x7FFFFFFFU : ~ordered),
          static_cast<int32_t>(0xFFFFFFFFU - static_cast<uint32_t>(key))};
}

__global__ void edit_kernel(float* logits, const LogitEdit* edits, int count) {
  depend_release();
  depend_wait();
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= count) return;
  const LogitEdit e = edits[i];
  const float z = logits[e.id];  // rounded as the host does: no multiply-add
  logits[e.id] = __fsub_rn(z > 0 ? __fdiv_rn(z, e.repetition) : __fmul_rn(z, e.repetition), e.subtract);
}

// Descending bitonic sort of kShare keys in shared memory.
__device__ void sort(Key* keys) {
  for (int size = 2; size <= kShare; size *= 2)
    for (int step = size / 2; step > 0; step /= 2) {
      __syncthreads();
      for (int t = threadIdx.x; t < kShare / 2; t += kThreads) {
        const int i = 2 * t - (t & (step - 1)), j = i + step;
        const bool down = (i & size) == 0;
        const Key a = keys[i], b = keys[j];
        if ((a < b) == down) keys[i] = b, keys[j] = a;
      }
    }
  __syncthreads();
}

// Best `count` of each share of the logits (`from` null) or of keys.
__global__ void __launch_bounds__(kThreads)
    best_kernel(const float* logits, const Key* from, int64_t size, int count, Key* to, Candidate* out) {
  __shared__ Key keys[kShare];
  depend_release();
  depend_wait();
  const int64_t begin = int64_t{blockIdx.x} * kShare;
  for (int i = threadIdx.x; i < kShare; i += kThreads) {
    const int64_t at = begin + i;
    keys[i] = at >= size ? 0 : from != nullptr ? from[at] : key_of(logits[at], static_cast<int32_t>(at));
  }
  if (count == 1) {  // the largest
    __syncthreads();
    for (int half = kShare / 2; half > 0; half /= 2) {
      for (int i = threadIdx.x; i < half; i += kThreads) keys[i] = max(keys[i], keys[i + half]);
      __syncthreads();
    }
  } else {
    sort(keys);
  }
  for (int i = threadIdx.x; i < count; i += kThreads) {
    if (out != nullptr) out[i] = candidate_of(keys[i]);
    if (out == nullptr) to[int64_t{blockIdx.x} * count + i] = keys[i];
  }
}

int64_t shares(int64_t size) {
  return (size + kShare - 1) / kShare;
}

}  // namespace

void edit_logits(const Device& device, float* logits, const LogitEdit* edits, int64_t count) {
  if (count > 0)
    launch(device, edit_kernel, dim3((count + 255) / 256), dim3(256), 0, logits, edits,
           static_cast<int>(count));
}

int64_t candidate_bytes(int64_t vocab) {
  return 2 * shares(vocab) * kMaxCandidates * static_cast<int64_t>(sizeof(Key));
}

// A round leaves count of each 2,048: 262,144 logits take two rounds for 1 and for up to 16 candidates, three
// for 64.
void best_candidates(const Device& device, const float* logits, int64_t vocab, int64_t count, void* work,
                     Candidate* out) {
  require(count >= 1 && count <= kMaxCandidates && count <= vocab, "the number of candidates");
  auto* keys = static_cast<Key*>(work);
  auto* next = keys + shares(vocab) * kMaxCandidates;
  const Key* from = nullptr;
  for (int64_t size = vocab;; size = shares(size) * count) {
    const bool last = size <= kShare;
    launch(device, best_kernel, dim3(shares(size)), dim3(kThreads), 0, logits, from, size,
           static_cast<int>(count), keys, last ? out : static_cast<Candidate*>(nullptr));
    if (last) return;
    from = keys;
    std::swap(keys, next);
  }
}

}  // namespace tessera::cuda
