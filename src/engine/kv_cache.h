#pragma once
// The KV cache of a number of sequences: rings for sliding layers, pages for full layers (docs/DESIGN.md, KV
// layout).
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "engine/kv_pages.h"
#include "model/model.h"

namespace tessera {

/// "f32", "bf16" or "q8_0". Throws Error(kBadRequest) for another name.
KvType kv_type(const std::string& name);

/// What one of the cache's sequences holds.
struct KvSlot {
  std::vector<uint64_t> held;  // Sequence::keys() of positions [0, held.size())
  int64_t written = 0;         // highest position written since the slot was empty + 1; >= held.size()
  int64_t ring_begin = 0;      // sliding layers have nothing before it
  int64_t prompt_end = 0;      // of the last request
  uint64_t last_used = 0;      // counts requests; 0: never
  bool busy = false;

  void clear() { held.clear(), written = ring_begin = prompt_end = 0; }
};

class KvCache {
 public:
  /// Room for `sequences` conversations of `context_tokens`; steps of at most `max_step_tokens` rows a
  /// sequence. Memory is committed as positions are written. Throws Error(kTooLarge).
  /// `locked`: taken at once and never swapped out.
  KvCache(Backend& backend, const Model& model, KvType type, int64_t sequences, int64_t context_tokens,
          int64_t max_step_tokens, bool locked = false);

  const std::vector<KvLayer>& layers() const { return layers_; }
  int64_t window() const { return window_; }
  /// First position whose sliding K and V are still there.
  int64_t ring_first(const KvSlot& slot) const {
    return std::max(slot.ring_begin, slot.written - ring_tokens_);
  }
  /// Whether a sequence can go on from `position` (<= held): the ring must still hold everything that a row
  /// there sees.
  bool can_resume(int64_t position, const KvSlot& slot) const {
    return position <= slot.written && std::max<int64_t>(0, position - window_ + 1) >= ring_first(slot);
  }

  /// Bytes of one block of 16 positions, K and V of all sliding or of all full layers.
  int64_t block_bytes(bool sliding) const;
  /// Before every step: blocks that it writes to and other sequences have, too, become the sequence's own.
  void prepare(const StepPlan& plan);

  /// Block `index` (positions from 16 * index) of a sequence to and from host memory of block_bytes(). The
  /// bytes mean the same to any cache of this model, number format and backend.
  void read_block(int64_t sequence, int64_t index, bool sliding, uint8_t* to) const;
  void write_block(int64_t sequence, int64_t index, bool sliding, const uint8_t* from);
  /// Between sequences: sliding layers are copied, of full layers the page is shared.
  void copy_block(int64_t to, int64_t from, int64_t index, bool sliding);
  /// Bytes that sequences would need more if they had no pages together.
  int64_t shared_bytes() const { return pages_.shared() * block_bytes(false); }

 private:
  // Which block of a layer's memory holds block `index` of a sequence.
  int64_t place(const KvLayer& l, int64_t sequence, int64_t index) const;
  // part(its memory in K or V, bytes) for each layer of the kind, K before V.
  template <typename Part>
  void each_part(bool sliding, int64_t sequence, int64_t index, const Part& part) const;
  // from(layer): which block of its memory is copied there.
  template <typename From>
  void copy_into(bool sliding, int64_t sequence, int64_t index, const From& from);
  void own_page(int64_t sequence, int64_t index, bool keep);
  void write_table();

  Backend* backend_;
  std::vector<KvLayer> layers_;
  std::vector<std::shared_ptr<void>> memory_;  // the page table first
  KvPages pages_;
  std::vector<bool> changed_;  // [sequences] row of the table is not in the backend's memory yet
  int64_t ring_tokens_ = 0, window_ = 0;
};

}  // namespace tessera
