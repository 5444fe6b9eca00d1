#pragma once
// The KV cache of a number of sequences: rings for sliding layers, pages for full layers (docs/DESIGN.md, KV
// layout).
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "model/model.h"

namespace tessera {

/// "f32", "bf16" or "q8_0". Throws Error(kBadRequest) for another name.
KvType kv_type(const std::string& name);

/// What a sequence of the cache holds.
struct KvSlot {
  std::vector<uint64_t> held;  // Sequence::keys() of positions [0, held.size())
  int64_t written = 0;         // highest position written since the slot was empty + 1; >= held.size()
  uint64_t last_used = 0;      // counts requests; 0: never
  bool busy = false;
};

class KvCache {
 public:
  /// Room for `sequences` conversations of `context_tokens`; steps of at most `max_step_tokens` rows a
  /// sequence. Memory is committed as positions are written. Throws Error(kTooLarge).
  /// `locked`: taken at once and never swapped out.
  KvCache(Backend& backend, const Model& model, KvType type, int64_t sequences, int64_t context_tokens,
          int64_t max_step_tokens, bool locked = false);

  const std::vector<KvLayer>& layers() const { return layers_; }
  /// Whether a sequence that has written positions [0, written) can go on from `position` (<= written): the
  /// ring must still hold everything that a row at `position` sees.
  bool can_resume(int64_t position, int64_t written) const;

 private:
  std::vector<KvLayer> layers_;
  std::vector<std::shared_ptr<void>> memory_;
  int64_t ring_tokens_ = 0, window_ = 0;
};

}  // namespace tessera
