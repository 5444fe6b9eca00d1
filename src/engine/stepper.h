#pragma once
// A sequence and a KV cache of its own: what measures and compares a model takes single steps with.
#include <span>

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
  /// through. Returns the logits of the last `logit_rows` of them, [logit_rows, vocab], valid until the
  /// engine's next step.
  std::span<float> step(Backend& with, int64_t begin, int64_t end, int64_t logit_rows);
  std::span<float> step(int64_t begin, int64_t end, int64_t logit_rows) {
    return step(*engine_->backend, begin, end, logit_rows);
  }
  /// Rows [begin, end) in chunks of the engine's options, with the logits of the last row.
  void prefill(int64_t begin, int64_t end);
  /// Whether the KV cache still has what a row at `position` sees.
  bool holds(int64_t position) const { return kv_.can_resume(position, written_); }

 private:
  EngineImpl* engine_;
  Sequence* sequence_;
  KvCache kv_;
  StepPlan plan_;
  int64_t written_ = 0;  // highest position written since the last step from 0, + 1
};

}  // namespace tessera
