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
    : backend_(&backend), window_(model.config.window) {
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
      memory_.push_back(backend.allocate_kv(bytes, l.shape.kv_heads, static_cast<int>(layers_.size())));
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

namespace {

// Of one block in one layer's K, and in its V: all heads lie together.
int64_t layer_bytes(const KvLayer& l) {
  return l.kv_heads * kv_block_bytes(l.type, l.head_dim);
}

// Calls part(place in K or V, bytes) for each layer of the kind, K before V. Page tables are the identity.
template <typename Part>
void each_part(const std::vector<KvLayer>& layers, bool sliding, int64_t sequence, int64_t index,
               const Part& part) {
  for (const KvLayer& l : layers) {
    if ((l.ring_blocks > 0) != sliding) continue;
    const int64_t block =
        sliding ? sequence * l.ring_blocks + index % l.ring_blocks : sequence * l.pages_per_sequence + index;
    for (uint8_t* base : {l.k, l.v}) part(base + block * layer_bytes(l), layer_bytes(l));
  }
}

// Bytes as float32 values that nobody computes with: what Backend copies are of.
Tensor raw(uint8_t* bytes, int64_t count) {
  return {bytes, 1, count / 4, DType::kF32};
}

}  // namespace

int64_t KvCache::block_bytes(bool sliding) const {
  int64_t bytes = 0;
  each_part(layers_, sliding, 0, 0, [&](uint8_t*, int64_t count) { bytes += count; });
  return bytes;
}

void KvCache::read_block(int64_t sequence, int64_t index, bool sliding, uint8_t* to) const {
  each_part(layers_, sliding, sequence, index, [&](uint8_t* at, int64_t count) {
    backend_->read(reinterpret_cast<float*>(to), raw(at, count));
    to += count;
  });
}

void KvCache::write_block(int64_t sequence, int64_t index, bool sliding, const uint8_t* from) {
  each_part(layers_, sliding, sequence, index, [&](uint8_t* at, int64_t count) {
    backend_->write(at, from, count);
    from += count;
  });
}

void KvCache::copy_block(int64_t to, int64_t from, int64_t index, bool sliding) {
  std::vector<uint8_t*> targets;
  each_part(layers_, sliding, to, index, [&](uint8_t* at, int64_t) { targets.push_back(at); });
  size_t i = 0;
  each_part(layers_, sliding, from, index,
            [&](uint8_t* at, int64_t count) { backend_->copy(raw(targets[i++], count), raw(at, count)); });
}

}  // namespace tessera
