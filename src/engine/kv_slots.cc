#include "engine/kv_slots.h"

#include <algorithm>

namespace tessera {
namespace {

// The next prompt of a chat leaves the last one's path a few tokens before its end, where the reply begins.
constexpr int64_t kTurnSlack = 64;

int64_t resume_point(const Sequence& sequence, int64_t position) {
  return sequence.block_begin(std::min(position, sequence.size() - 1));
}

}  // namespace

KvSlots::KvSlots(EngineImpl& engine)
    : engine_(&engine), slots_(static_cast<size_t>(engine.options.parallel)) {}

void KvSlots::open() {
  if (cache_) return;
  EngineImpl& e = *engine_;
  const EngineOptions& o = e.options;
  auto cache = std::make_unique<KvCache>(*e.backend, e.model, kv_type(o.kv), o.parallel, o.context_tokens,
                                         std::max(e.max_step_tokens(), kMaxDecodeRows), o.lock_memory);
  if (o.cache_ram_bytes > 0 || (!o.cache_dir.empty() && o.cache_disk_bytes > 0))
    prefixes_ = std::make_unique<PrefixCache>(
        PrefixCache::Options{o.cache_ram_bytes, o.cache_dir, o.cache_disk_bytes, e.kv_key,
                             cache->block_bytes(false), cache->block_bytes(true), cache->window()});
  cache_ = std::move(cache);
}

size_t KvSlots::acquire(const Sequence& sequence) {
  open();
  const size_t index = choose(sequence);
  KvSlot& slot = slots_[index];
  int64_t kept = resume_point(sequence, sequence.common_prefix(slot.held));
  if (!cache_->can_resume(kept, slot)) kept = 0;
  const bool loses = kept + kKvBlock <= static_cast<int64_t>(slot.held.size());
  if (loses && prefixes_ && engine_->options.cache_dir.empty()) keep(index);  // else kept at its release
  slot.held.resize(static_cast<size_t>(kept));
  if (kept == 0) slot.clear();
  kept = std::max(kept, copy_from_slot(index, sequence, kept));
  load(index, sequence, kept);
  slot.prompt_end = sequence.size();
  slot.busy = true;
  slot.last_used = ++requests_;
  return index;
}

void KvSlots::release(size_t index) {
  slots_[index].busy = false;
  if (!prefixes_ || engine_->options.cache_dir.empty()) return;
  try {
    keep(index);
  } catch (const std::exception&) {
    // Out of memory, or a device that failed: the next prompt is computed from nothing.
  }
}

void KvSlots::forget() {
  for (KvSlot& slot : slots_)
    if (!slot.busy) slot.clear(), slot.last_used = 0;
}

// The free slot that holds most of this sequence, unless more than half of what it holds would be lost: then
// the one that has been idle for longest.
size_t KvSlots::choose(const Sequence& sequence) const {
  size_t oldest = slots_.size(), best = slots_.size();
  int64_t most = 0;
  for (size_t i = 0; i < slots_.size(); ++i) {
    const KvSlot& slot = slots_[i];
    if (slot.busy) continue;
    if (oldest == slots_.size() || slot.last_used < slots_[oldest].last_used) oldest = i;
    const int64_t common = sequence.common_prefix(slot.held);
    if (common > most && 2 * common >= static_cast<int64_t>(slot.held.size())) best = i, most = common;
  }
  return best < slots_.size() ? best : oldest;
}

void KvSlots::set_held(KvSlot& slot, const Sequence& sequence, int64_t end) const {
  slot.held.assign(sequence.keys().begin(), sequence.keys().begin() + end);
  slot.written = end;
  slot.ring_begin = std::max<int64_t>(0, end - cache_->window() + 1) / kKvBlock * kKvBlock;
}

// Returns the positions that the slot holds then, 0 when none holds more.
int64_t KvSlots::copy_from_slot(size_t to, const Sequence& sequence, int64_t more_than) {
  size_t from = to;
  int64_t end = more_than + kKvBlock - 1;  // less is computed faster than copied
  for (size_t i = 0; i < slots_.size(); ++i) {
    const int64_t there = resume_point(sequence, sequence.common_prefix(slots_[i].held));
    if (i != to && there > end && cache_->can_resume(there, slots_[i])) from = i, end = there;
  }
  if (from == to) return 0;
  KvSlot& slot = slots_[to];
  set_held(slot, sequence, end);
  // Of the block that the ring of the other slot has begun to write over, nothing is seen from `end` on.
  for (int64_t b = 0; b * kKvBlock < end; ++b) {
    cache_->copy_block(static_cast<int64_t>(to), static_cast<int64_t>(from), b, false);
    if ((b + 1) * kKvBlock > slot.ring_begin)
      cache_->copy_block(static_cast<int64_t>(to), static_cast<int64_t>(from), b, true);
  }
  slot.ring_begin = std::max(slot.ring_begin, cache_->ring_first(slots_[from]));
  return end;
}

int64_t KvSlots::load(size_t to, const Sequence& sequence, int64_t more_than) {
  if (!prefixes_) return 0;
  const auto round_down = [&](int64_t position) { return resume_point(sequence, position); };
  for (;;) {
    const int64_t end = prefixes_->find(sequence.keys(), round_down);
    if (end < more_than + kKvBlock) return 0;
    const bool whole =
        prefixes_->load(sequence.keys(), end, [&](int64_t index, bool sliding, const uint8_t* bytes) {
          cache_->write_block(static_cast<int64_t>(to), index, sliding, bytes);
        });
    if (whole) {
      ++hits_;
      set_held(slots_[to], sequence, end);
      return end;
    }
    slots_[to].clear();  // a damaged file: what it held was written over
    more_than = 0;
  }
}

void KvSlots::keep(size_t index) {
  const KvSlot& slot = slots_[index];
  const auto end = static_cast<int64_t>(slot.held.size());
  if (end < kKvBlock) return;
  const int64_t there = (std::max<int64_t>(0, cache_->ring_first(slot)) + kKvBlock - 1) / kKvBlock * kKvBlock;
  const auto begin_for = [&](int64_t turn) {
    return std::max<int64_t>(0, turn - cache_->window() + 1 - kTurnSlack) / kKvBlock * kKvBlock;
  };
  // Both ends of the last turn where the ring has them, else the later one.
  int64_t sliding = begin_for(std::min(slot.prompt_end, end));
  if (sliding + kTurnSlack < there) sliding = begin_for(end);
  prefixes_->keep(slot.held, std::max(sliding, there), [&](int64_t block, bool of_sliding, uint8_t* to) {
    cache_->read_block(static_cast<int64_t>(index), block, of_sliding, to);
  });
}

void KvSlots::describe(EngineStatus& status) const {
  if (cache_) status.kv_shared_bytes = cache_->shared_bytes();
  if (!prefixes_) return;
  status.cache_ram_bytes = prefixes_->ram_bytes();
  status.cache_disk_bytes = prefixes_->disk_bytes();
  status.cache_entries = prefixes_->blocks();
  status.cache_hits = hits_;
}

}  // namespace tessera
