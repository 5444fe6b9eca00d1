#pragma once
// The KV cache as kernels on the card see it: blocks of 16 positions, K and V both [16][head_dim] of a head.
#include <cuda_bf16.h>

#include "backend/kv_layer.h"

namespace tessera::cuda {

template <typename T>
struct KvView {
  T* k;
  T* v;
  const int32_t* pages;  // full layers
  int kv_heads, head_dim, ring_blocks, pages_per_sequence;

  explicit KvView(const KvLayer& kv)
      : k(reinterpret_cast<T*>(kv.k)),
        v(reinterpret_cast<T*>(kv.v)),
        pages(kv.pages),
        kv_heads(static_cast<int>(kv.kv_heads)),
        head_dim(static_cast<int>(kv.head_dim)),
        ring_blocks(static_cast<int>(kv.ring_blocks)),
        pages_per_sequence(static_cast<int>(kv.pages_per_sequence)) {}

  __device__ int block_of(int sequence, int position) const {
    const int index = position / static_cast<int>(kKvBlock);
    return ring_blocks > 0 ? sequence * ring_blocks + index % ring_blocks
                           : pages[int64_t{sequence} * pages_per_sequence + index];
  }
  /// Element of k and v where head `head` of `position` begins.
  __device__ int64_t at(int block, int position, int head) const {
    return ((int64_t{block} * kv_heads + head) * kKvBlock + position % static_cast<int>(kKvBlock)) * head_dim;
  }
};

/// First and last position that a row sees (backend/step_plan.h).
__device__ __forceinline__ int first_visible(int window, int position) {
  return window > 0 ? max(0, position - window + 1) : 0;
}
__device__ __forceinline__ int last_visible(int window, int position, int span_end) {
  return window > 0 ? span_end : position;
}

}  // namespace tessera::cuda
