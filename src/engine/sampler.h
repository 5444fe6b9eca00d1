#pragma once
// Logits → one token. Order as the reference: (softcap, in the model) → suppressed tokens → penalties, bias →
// what a format allows → temperature → top-k → top-p → min-p → softmax → draw.
#include <cstdint>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "tessera/tessera.h"

namespace tessera {

/// What holds for one draw only.
struct DrawLimits {
  std::span<const int32_t> banned = {};  // not chosen, unless nothing else is left of `only`
  std::span<const uint64_t> only = {};   // bits of the tokens to choose from, at least one; empty: all
};

class Sampler {
 public:
  /// `suppressed`: ids never chosen. Throws Error(kBadRequest) for options out of range, with the value and
  /// the range.
  Sampler(const Sampling& options, uint64_t seed, std::vector<int32_t> suppressed,
          std::vector<LogitBias> bias = {});

  /// `logits`: [1, vocab] of `backend`, changed in place. `context`: all ids so far (repetition penalty).
  /// `generated`: the reply so far (presence and frequency penalties). `position`: of the token to draw; the
  /// draw depends on seed and position only, so a reply that was cancelled goes on exactly as it would have.
  int32_t sample(Backend& backend, Tensor logits, std::span<const int32_t> context,
                 std::span<const int32_t> generated, int64_t position, const DrawLimits& limits = {});
  /// The same of logits in host memory.
  int32_t sample(std::span<float> logits, std::span<const int32_t> context,
                 std::span<const int32_t> generated, int64_t position);

 private:
  /// Fills edits_.
  void collect_edits(std::span<const int32_t> context, std::span<const int32_t> generated, int64_t vocab,
                     std::span<const int32_t> banned = {});
  void drop_edits_of_all(std::span<const uint64_t> only);
  bool likeliest_allowed(Backend& backend, Tensor logits, std::span<const uint64_t> only);
  int64_t wanted(int64_t vocab) const;
  int32_t draw(int64_t position);

  Sampling options_;
  uint64_t seed_;
  std::vector<int32_t> suppressed_;
  std::vector<LogitBias> bias_;
  std::vector<LogitEdit> edits_;  // reused
  std::vector<Candidate> candidates_;
  std::vector<float> host_;  // a row that is limited to some tokens
};

/// Natural logarithms of the softmax of logits [1, vocab], which are left as they are; taken before sample(),
/// which may change them. Copies the row to the host.
class Logprobs {
 public:
  Logprobs(Backend& backend, Tensor logits, int count);
  float of(int32_t id) const;
  const std::vector<Candidate>& top() const { return top_; }  // logit: the logarithm

 private:
  std::vector<float> logits_;
  double log_sum_ = 0;
  std::vector<Candidate> top_;
};

}  // namespace tessera
