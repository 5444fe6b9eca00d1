#pragma once
// The KV cache as kernels on the card see it: blocks of 16 positions, K and V both [16][head_dim] of a head.
#include <cuda_bf16.h>

#include "backend/cuda/copies.cuh"
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

/// Copies tiles of kKeys positions of K or V to shared memory, one after the other; zeros behind the last
/// position. All of the block's kThreads threads. Where a tile's blocks lie is looked up for 32 of them at
/// once, one a lane: with a division or a page to read for each 16 bytes the copies took most of a tile's
/// time (16 bytes a copy, 8 to 16 of them a thread and tile).
template <int kHead, int kKeys, int kThreads>
class KvTiles {
 public:
  /// Of the positions begin … last of a sequence; begin is the first of a block.
  __device__ KvTiles(const KvView<__nv_bfloat16>& kv, int kv_head, int sequence, int begin, int last)
      : kv_(kv), sequence_(sequence), begin_(begin), last_(last), tid_(static_cast<int>(threadIdx.x)) {
    own_ = int64_t{kv_head} * kBlock * kHead + tid_ / kChunks * kHead + tid_ % kChunks * 8;
  }

  /// The tile that copies are of from now on; called with 0, 1, 2 … in turn.
  __device__ __forceinline__ void seek(int tile) {
    const int first = tile * kTileBlocks;
    if (first % 32 == 0)
      lane_block_ = kv_.block_of(sequence_, min(begin_ + (first + tid_ % 32) * kBlock, last_));
#pragma unroll
    for (int b = 0; b < kTileBlocks; ++b) block_[b] = __shfl_sync(~0U, lane_block_, first % 32 + b);
    left_ = last_ + 1 - begin_ - tile * kKeys - tid_ / kChunks;
  }

  /// `at`(row, 16-byte chunk): byte offset in the tile.
  template <typename At>
  __device__ __forceinline__ void copy(const __nv_bfloat16* cache, uint32_t tile, const At& at) const {
#pragma unroll
    for (int i = 0; i < kKeys / kRowsAtOnce; ++i) {
      const int row = i * kRowsAtOnce, block = row / kBlock;
      copy_16_or_zeros(tile + at(row + tid_ / kChunks, tid_ % kChunks),
                       cache + int64_t{block_[block]} * kv_.kv_heads * (kBlock * kHead) + own_ +
                           (row - block * kBlock) * kHead,
                       row < left_);
    }
  }

 private:
  static constexpr int kBlock = static_cast<int>(kKvBlock), kChunks = kHead / 8;
  static constexpr int kTileBlocks = kKeys / kBlock, kRowsAtOnce = kThreads / kChunks;
  static_assert(kKeys % kBlock == 0 && kBlock % kRowsAtOnce == 0 && kThreads % kChunks == 0);

  const KvView<__nv_bfloat16>& kv_;
  int sequence_, begin_, last_, tid_;
  int lane_block_ = 0, block_[kTileBlocks] = {};
  int left_ = 0;  // rows of the tile from this thread's first
  int64_t own_;   // element of a block
};

/// First and last position that a row sees (backend/step_plan.h).
__device__ __forceinline__ int first_visible(int window, int position) {
  return window > 0 ? max(0, position - window + 1) : 0;
}
__device__ __forceinline__ int last_visible(int window, int position, int span_end) {
  return window > 0 ? span_end : position;
}

}  // namespace tessera::cuda
