#pragma once
// The KV cache of one layer, as kernels see it: blocks of 16 positions, found by a page table (full layers)
// or in a ring (sliding layers). Memory belongs to engine/kv_cache.
#include <cstdint>

namespace tessera {

inline constexpr int64_t kKvBlock = 16;  // positions in a block; one AVX-512 vector of float32 keys
inline constexpr int64_t kKvGroup = 32;  // dimensions that share a scale in kQ8

/// kQ8: int8 codes of a block, then float32 scales: of K [ceil(head_dim / 32)][16], of V [16][ceil(head_dim /
/// 32)].
enum class KvType : uint8_t { kF32, kBF16, kQ8 };

constexpr int64_t kv_block_bytes(KvType type, int64_t head_dim) {
  const int64_t values = head_dim * kKvBlock;
  if (type == KvType::kQ8) return values + (head_dim + kKvGroup - 1) / kKvGroup * kKvBlock * 4;
  return values * (type == KvType::kF32 ? 4 : 2);
}

struct KvLayer {
  // Block b, head h: k + (b * kv_heads + h) * kv_block_bytes is K as [head_dim][16]; the same place in v is V
  // as [16][head_dim]; cuda keeps K as [16][head_dim], too. K is after k_norm and rope, V after v_norm.
  // Always finite, also where nothing was written.
  uint8_t* k = nullptr;
  uint8_t* v = nullptr;
  KvType type = KvType::kF32;
  int64_t kv_heads = 0, head_dim = 0;
  int64_t ring_blocks = 0;         // > 0: sliding layer; blocks of one sequence
  const int32_t* pages = nullptr;  // full layer: [sequences][pages_per_sequence], in the backend's memory
  int64_t pages_per_sequence = 0;

  /// Offset in bytes, in k and in v, of the block that holds `position`, for head `head`.
  int64_t block_offset(int64_t sequence, int64_t position, int64_t head) const {
    const int64_t index = position / kKvBlock;
    const int64_t block = ring_blocks > 0 ? sequence * ring_blocks + index % ring_blocks
                                          : int64_t{pages[sequence * pages_per_sequence + index]};
    return (block * kv_heads + head) * kv_block_bytes(type, head_dim);
  }
};

}  // namespace tessera
