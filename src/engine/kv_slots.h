#pragma once
// The engine's KV cache as requests see it: a slot each, found by content; what no slot holds any more may
// still be in the prefix cache.
#include <memory>
#include <vector>

#include "engine/engine_impl.h"
#include "engine/kv_cache.h"
#include "engine/prefix_cache.h"
#include "engine/sequence.h"

namespace tessera {

/// One thread, which has the engine's turn.
class KvSlots {
 public:
  /// Takes no memory before the first acquire().
  explicit KvSlots(EngineImpl& engine);

  /// A free slot (there must be one) that holds the longest prefix of `sequence` to be had: a free slot's, a
  /// copy of a busy slot's, or the prefix cache's; never all of it, for the last row's logits are wanted.
  /// Busy until release(). Throws Error(kTooLarge | kIo).
  size_t acquire(const Sequence& sequence);
  void release(size_t slot);
  KvSlot& slot(size_t index) { return slots_[index]; }
  const std::vector<KvSlot>& slots() const { return slots_; }
  const std::vector<KvLayer>& layers() const { return cache_->layers(); }
  /// Before every step on layers().
  void prepare(const StepPlan& plan) { cache_->prepare(plan); }
  /// Empties the slots that are free; the prefix cache stays.
  void forget();
  /// Adds what the prefix cache holds, and what slots share.
  void describe(EngineStatus& status) const;

 private:
  void open();
  void keep(size_t index);
  size_t choose(const Sequence& sequence) const;
  int64_t copy_from_slot(size_t to, const Sequence& sequence, int64_t more_than);
  int64_t load(size_t to, const Sequence& sequence, int64_t more_than);
  void set_held(KvSlot& slot, const Sequence& sequence, int64_t end) const;

  EngineImpl* engine_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<PrefixCache> prefixes_;
  std::vector<KvSlot> slots_;
  uint64_t requests_ = 0;
  int64_t hits_ = 0;
};

}  // namespace tessera
