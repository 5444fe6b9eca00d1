#pragma once
// Drafts for the replies of a step: a drafter says what may come next, the step verifies it
// (Generation::take). The text is the same with and without; only how many steps it takes changes.
#include <functional>
#include <span>
#include <vector>

#include "engine/draft_depth.h"
#include "engine/generation.h"
#include "model/mtp.h"

namespace tessera {

class Speculator {
 public:
  /// Without a drafter in `engine` nothing is ever drafted.
  explicit Speculator(EngineImpl& engine);

  /// Drafts for the generations of a step, which all decode or are left alone. `kv`: of the engine's cache.
  /// Throws Error(kDevice).
  void propose(std::span<Generation* const> batch, const std::vector<KvLayer>& kv);
  /// After the step's tokens were taken. `decoded`: those that were decoding before; `stepped`: all that were
  /// in the step, whose hidden rows are there now. `ms`: what it took without drafting; `prompts`: it had
  /// rows of prompts.
  void record(std::span<Generation* const> decoded, std::vector<const Generation*> stepped, double ms,
              bool prompts);

  /// In place of the drafter: up to `most` tokens. For tests.
  using Source = std::function<std::vector<int32_t>(const Generation& generation, int most)>;
  void use(Source source) { source_ = std::move(source); }

 private:
  struct Round {
    Generation* generation;
    int depth;  // drafts wanted
    bool late;  // queries are turned to L − 1, else to L − 2
    std::vector<int32_t> drafts;
  };

  int most(const Generation& generation) const;
  bool choose_late();
  void draft(std::vector<Round>& rounds, const std::vector<KvLayer>& kv);

  EngineImpl& engine_;
  Source source_;
  StepPlan plan_;
  DraftCosts& costs(size_t generations);

  std::array<DraftCosts, 4> costs_;  // of steps of 1, 2 … 3, 4 … 7 and more generations
  Acceptance all_;                   // of all replies
  // First drafts by position: late or not.
  struct Position {
    double tried = 0, accepted = 0;
    double share() const { return (accepted + 1) / (tried + 2); }
  } positions_[2];
  int64_t drafted_rounds_ = 0;
  std::vector<Round> rounds_;             // of the step at hand
  std::vector<const Generation*> fresh_;  // whose hidden rows the engine's scratch has: of the last step
};

}  // namespace tessera
