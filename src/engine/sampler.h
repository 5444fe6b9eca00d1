#pragma once
// Logits → one token. Order as the reference: (softcap, in the model) → suppressed tokens → penalties →
// temperature → top-k → top-p → min-p → softmax → draw.
#include <cstdint>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "tessera/tessera.h"

namespace tessera {

class Sampler {
 public:
  /// `suppressed`: ids never chosen. Throws Error(kBadRequest) for options out of range, with the value and
  /// the range.
  Sampler(const Sampling& options, uint64_t seed, std::vector<int32_t> suppressed);

  /// `logits`: [1, vocab] of `backend`, changed in place. `context`: all ids so far (repetition penalty).
  /// `generated`: the reply so far (presence and frequency penalties). `position`: of the token to draw; the
  /// draw depends on seed and position only, so a reply that was cancelled goes on exactly as it would have.
  int32_t sample(Backend& backend, Tensor logits, std::span<const int32_t> context,
                 std::span<const int32_t> generated, int64_t position);
  /// The same of logits in host memory.
  int32_t sample(std::span<float> logits, std::span<const int32_t> context,
                 std::span<const int32_t> generated, int64_t position);

 private:
  /// Fills edits_.
  void collect_edits(std::span<const int32_t> context, std::span<const int32_t> generated, int64_t vocab);
  int64_t wanted(int64_t vocab) const;
  int32_t draw(int64_t position);

  Sampling options_;
  uint64_t seed_;
  std::vector<int32_t> suppressed_;
  std::vector<LogitEdit> edits_;  // reused
  std::vector<Candidate> candidates_;
};

}  // namespace tessera
