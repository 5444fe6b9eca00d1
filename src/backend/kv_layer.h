#pragma once
// The KV cache of one layer, as kernels see it: blocks of 16 positions, found by a page table (full layers)
// or in a ring (sliding layers). Memory belongs to engine/kv_cache.
#include <cstdint>

namespace tessera {

inline constexpr int64_t kKvBlock = 16;  // positions in a block; one AVX-512 vector of float32 keys

struct KvLayer {
  // Block b, head h: k + (b * kv_heads + h) * head_dim * 16 is K as [head_dim][16]; the same place in v is V
  // as [16][head_dim]. K is after k_norm and rope, V after v_norm. Always finite, also where nothing was
  // written.
  float* k = nullptr;
  float* v = nullptr;
  int64_t kv_heads = 0, head_dim = 0;
  int64_t ring_blocks = 0;         // > 0: sliding layer; blocks of one sequence
  const int32_t* pages = nullptr;  // full layer: [sequences][pages_per_sequence] block numbers
  int64_t pages_per_sequence = 0;

  /// Offset in floats, in k and in v, of the block that holds `position`, for head `head`.
  int64_t block_offset(int64_t sequence, int64_t position, int64_t head) const {
    const int64_t index = position / kKvBlock;
    const int64_t block = ring_blocks > 0 ? sequence * ring_blocks + index % ring_blocks
                                          : int64_t{pages[sequence * pages_per_sequence + index]};
    return (block * kv_heads + head) * head_dim * kKvBlock;
  }
};

}  // namespace tessera
