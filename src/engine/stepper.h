#pragma once
// A sequence and a KV cache of its own: what measures and compares a model takes single steps with.
#include <vector>

#include "engine/engine_impl.h"
#include "engine/kv_cache.h"
#include "engine/sequence.h"

namespace tessera {

class Stepper {
 public:
  /// Both must outlive the stepper; the caller holds the engine's turn while it steps. Throws
  /// Error(kTooLarge).
  Stepper(EngineImpl& engine, Sequence& sequence);

  /// Rows [begin, end) of the sequence through the model on `with`; what lies before must have been stepped
  /// through. Returns when it is done. Throws Error(kTooLarge) for more logit rows than the engine's scratch
  /// has.
  void step(Backend& with, int64_t begin, int64_t end, int64_t logit_rows);
  void step(int64_t begin, int64_t end, int64_t logit_rows) {
    step(*engine_->backend, begin, end, logit_rows);
  }
  /// Logits of the last step's logit rows, [logit_rows, vocab]. Copied when called; before the engine's next
  /// step.
  std::vector<float> logits() const;
  /// Rows [begin, end) in chunks of the engine's options, with the logits of the last row.
  void prefill(int64_t begin, int64_t end);
  const std::vector<KvLayer>& kv() const { return kv_.layers(); }
  /// Whether the KV cache still has what a row at `position` sees.
  bool holds(int64_t position) const {
    KvSlot slot;
    slot.written = written_;
    return kv_.can_resume(position, slot);
  }

 private:
  EngineImpl* engine_;
  Sequence* sequence_;
  KvCache kv_;
  StepPlan plan_;
  int64_t written_ = 0;  // highest position written since the last step from 0, + 1
};

}  // namespace tessera
