#include "engine/kv_cache.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/memory_lock.h"

namespace tessera {
namespace {

int64_t blocks_of(int64_t tokens) {
  return (tokens + kKvBlock - 1) / kKvBlock;
}

}  // namespace

KvType kv_type(const std::string& name) {
  if (name == "f32") return KvType::kF32;
  if (name == "bf16") return KvType::kBF16;
  if (name == "q8_0") return KvType::kQ8;
  throw_error(ErrorKind::kBadRequest, "kv '{}' is unknown; choose f32, bf16 or q8_0", name);
}

KvCache::KvCache(Backend& backend, const Model& model, KvType type, int64_t sequences, int64_t context_tokens,
                 int64_t max_step_tokens, bool locked)
    : window_(model.config.window) {
  // The first row of a step sees window - 1 positions before it, while the step's last row is already
  // written. One more block: a step need not start at a block's edge.
  const int64_t ring = std::min(blocks_of(context_tokens), blocks_of(window_ - 1 + max_step_tokens) + 1);
  const int64_t pages = blocks_of(context_tokens);
  ring_tokens_ = ring * kKvBlock;
  std::vector<int32_t> table(static_cast<size_t>(sequences * pages));
  std::iota(table.begin(), table.end(), 0);
  const auto table_bytes = static_cast<int64_t>(table.size() * sizeof(int32_t));
  memory_.push_back(backend.allocate(table_bytes));
  const auto* page_table = static_cast<const int32_t*>(memory_.back().get());
  backend.write(memory_.back().get(), table.data(), table_bytes);
  for (const Layer& l : model.layers) {
    const bool sliding = l.shape.window > 0;
    const int64_t blocks = sequences * (sliding ? ring : pages);
    const int64_t bytes = blocks * l.shape.kv_heads * kv_block_bytes(type, l.shape.head_dim);
    for (int i = 0; i < 2; ++i) {
      memory_.push_back(backend.allocate(bytes));
      if (locked) lock_memory(memory_.back().get(), bytes);
    }
    KvLayer kv;
    kv.k = static_cast<uint8_t*>(memory_[memory_.size() - 2].get());
    kv.v = static_cast<uint8_t*>(memory_.back().get());
    kv.type = type;
    kv.kv_heads = l.shape.kv_heads;
    kv.head_dim = l.shape.head_dim;
    kv.ring_blocks = sliding ? ring : 0;
    kv.pages = page_table;
    kv.pages_per_sequence = pages;
    layers_.push_back(kv);
  }
}

bool KvCache::can_resume(int64_t position, int64_t written) const {
  const int64_t oldest_needed = std::max<int64_t>(0, position - window_ + 1);
  // Blocks are overwritten position by position: position p is lost once p + ring_tokens has been written.
  return position <= written && oldest_needed + ring_tokens_ >= written;
}

}  // namespace tessera
