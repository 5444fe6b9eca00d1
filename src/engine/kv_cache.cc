#include "engine/kv_cache.h"

#include <algorithm>

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
    : backend_(&backend),
      pages_(sequences, blocks_of(context_tokens)),
      changed_(static_cast<size_t>(sequences), true),
      window_(model.config.window) {
  // The first row of a step sees window - 1 positions before it, while the step's last row is already
  // written. One more block: a step need not start at a block's edge.
  const int64_t ring = std::min(blocks_of(context_tokens), blocks_of(window_ - 1 + max_step_tokens) + 1);
  const int64_t pages = blocks_of(context_tokens);
  ring_tokens_ = ring * kKvBlock;
  memory_.push_back(backend.allocate(sequences * pages * static_cast<int64_t>(sizeof(int32_t))));
  const auto* page_table = static_cast<const int32_t*>(memory_.back().get());
  write_table();
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

// Bytes as float32 values that nobody computes with: what Backend copies are of.
Tensor raw(uint8_t* bytes, int64_t count) {
  return {bytes, 1, count / 4, DType::kF32};
}

}  // namespace

int64_t KvCache::place(const KvLayer& l, int64_t sequence, int64_t index) const {
  return l.ring_blocks > 0 ? sequence * l.ring_blocks + index % l.ring_blocks : pages_.page(sequence, index);
}

template <typename Part>
void KvCache::each_part(bool sliding, int64_t sequence, int64_t index, const Part& part) const {
  for (const KvLayer& l : layers_) {
    if ((l.ring_blocks > 0) != sliding) continue;
    const int64_t at = place(l, sequence, index) * layer_bytes(l);
    for (uint8_t* base : {l.k, l.v}) part(base + at, layer_bytes(l));
  }
}

template <typename From>
void KvCache::copy_into(bool sliding, int64_t sequence, int64_t index, const From& from) {
  for (const KvLayer& l : layers_) {
    if ((l.ring_blocks > 0) != sliding) continue;
    const int64_t count = layer_bytes(l), to = place(l, sequence, index);
    for (uint8_t* base : {l.k, l.v})
      backend_->copy(raw(base + to * count, count), raw(base + from(l) * count, count));
  }
}

void KvCache::write_table() {
  for (size_t i = 0; i < changed_.size(); ++i) {
    if (!changed_[i]) continue;
    const std::span<const int32_t> row = pages_.row(static_cast<int64_t>(i));
    const auto bytes = static_cast<int64_t>(row.size_bytes());
    backend_->write(static_cast<uint8_t*>(memory_.front().get()) + static_cast<int64_t>(i) * bytes,
                    row.data(), bytes);
    changed_[i] = false;
  }
}

// `keep`: what is in the block is still wanted.
void KvCache::own_page(int64_t sequence, int64_t index, bool keep) {
  const int32_t before = pages_.own(sequence, index);
  if (before < 0) return;
  changed_[static_cast<size_t>(sequence)] = true;
  if (!keep) return;
  copy_into(false, sequence, index, [&](const KvLayer&) { return int64_t{before}; });
}

void KvCache::prepare(const StepPlan& plan) {
  if (pages_.shared() > 0)
    for (size_t r = 0; r < plan.position.size(); ++r) {
      const int32_t position = plan.position[r], index = position / static_cast<int32_t>(kKvBlock);
      const bool first = r == 0 || plan.sequence[r] != plan.sequence[r - 1];
      if (first || position % kKvBlock == 0) own_page(plan.sequence[r], index, position % kKvBlock != 0);
    }
  write_table();
}

int64_t KvCache::block_bytes(bool sliding) const {
  int64_t bytes = 0;
  each_part(sliding, 0, 0, [&](uint8_t*, int64_t count) { bytes += count; });
  return bytes;
}

void KvCache::read_block(int64_t sequence, int64_t index, bool sliding, uint8_t* to) const {
  each_part(sliding, sequence, index, [&](uint8_t* at, int64_t count) {
    backend_->read(reinterpret_cast<float*>(to), raw(at, count));
    to += count;
  });
}

void KvCache::write_block(int64_t sequence, int64_t index, bool sliding, const uint8_t* from) {
  if (!sliding) own_page(sequence, index, false);
  each_part(sliding, sequence, index, [&](uint8_t* at, int64_t count) {
    backend_->write(at, from, count);
    from += count;
  });
}

void KvCache::copy_block(int64_t to, int64_t from, int64_t index, bool sliding) {
  if (!sliding) {
    pages_.share(to, from, index);
    changed_[static_cast<size_t>(to)] = true;
    return;
  }
  copy_into(true, to, index, [&](const KvLayer& l) { return place(l, from, index); });
}

}  // namespace tessera
