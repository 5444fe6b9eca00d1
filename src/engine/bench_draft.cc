// Drafting and verifying with made-up acceptance: what `tessera bench --draft` prints.
#include <chrono>
#include <mutex>
#include <random>

#include "base/error.h"
#include "engine/draft_depth.h"
#include "engine/stepper.h"

namespace tessera {
namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

/// One conversation of random tokens, drafted for and verified as Speculator and Generation do.
class Rounds {
 public:
  Rounds(EngineImpl& impl, int64_t depth, int tokens)
      : impl_(impl),
        begin_(std::max<int64_t>(depth, 1)),
        sequence_(impl.config, impl.tokenizer),
        stepper_(impl, fill(tokens)) {}

  /// In turn, a part of `tokens` each: a machine whose speed changes from minute to minute is as slow to all.
  std::vector<DraftBenchRun::Point> measure(double share, const std::vector<int>& drafts, int tokens) {
    std::vector<Run> runs(drafts.size());
    for (int part = 1; part <= kParts; ++part)
      for (size_t i = 0; i < drafts.size(); ++i) go_on(runs[i], share, drafts[i], tokens * part / kParts);
    std::vector<DraftBenchRun::Point> points;
    for (size_t i = 0; i < drafts.size(); ++i)
      points.push_back({share, drafts[i], runs[i].ms / runs[i].tokens, 0,
                        static_cast<double>(runs[i].drafted) / runs[i].rounds});
    return points;
  }

 private:
  static constexpr int kWarmUp = 3, kParts = 4;

  struct Run {
    DraftDepth depth;
    DraftCosts costs;
    std::mt19937 random{1};
    int tokens = 0, drafted = 0, rounds = 0;
    double ms = 0;
  };

  void go_on(Run& run, double share, int drafts, int tokens) {
    if (!stepper_.holds(begin_) || !filled_) stepper_.prefill(0, begin_);
    filled_ = true;
    position_ = begin_;
    hidden_ = 0;
    std::uniform_real_distribution<double> uniform(0, 1);
    if (run.rounds == 0) {
      for (int i = 0; i < kWarmUp; ++i)
        round(std::max(drafts, 0), 0, run.costs);  // recorded, and costs known
      position_ = begin_;
    }
    const auto start = Clock::now();
    for (; run.tokens < tokens; ++run.rounds) {
      const int k = drafts >= 0 ? drafts : run.depth.choose(run.costs, kMaxDraft - 1);
      int accepted = 0;
      while (accepted < k && uniform(run.random) < share) ++accepted;
      round(k, accepted, run.costs);
      if (k > 0) run.depth.record(k, accepted);
      run.tokens += accepted + 1;
      run.drafted += k;
    }
    run.ms += ms_since(start);
  }

  Sequence& fill(int tokens) {
    std::mt19937 random(1);
    std::vector<int32_t> ids;
    const int64_t count = begin_ + tokens + 2 * (kMaxDraft + 1) + kWarmUp;
    const ModelConfig& c = impl_.config;
    while (static_cast<int64_t>(ids.size()) < count) {
      const auto id = static_cast<int32_t>(random() % static_cast<uint32_t>(c.vocab));
      if (id != c.image_token && id != c.audio_token && id != c.video_token) ids.push_back(id);
    }
    sequence_.append_tokens(ids);
    return sequence_;
  }

  void round(int k, int accepted, DraftCosts& costs) {
    Tensor from = impl_.scratch->hidden;
    auto start = Clock::now();
    for (int j = 0; j < k; ++j, from = impl_.drafter->states()) {
      const auto last = static_cast<int32_t>(position_ - 1);
      plan_.clear();
      plan_.token = {sequence_.ids()[static_cast<size_t>(position_ + j)]};
      plan_.position = plan_.span_end = plan_.turn = {last};
      plan_.sequence = {0};
      plan_.logit_row = {j == 0 ? hidden_ : 0};
      impl_.drafter->step(plan_, from, stepper_.kv());
      impl_.drafter->best(0);
    }
    if (k > 0) costs.record_draft(ms_since(start) / k);
    start = Clock::now();
    stepper_.step(position_, position_ + 1 + k, 1 + k);
    for (int j = 0; j <= accepted; ++j) impl_.backend->candidates(impl_.scratch->logits_of(j), {}, 1, found_);
    costs.record_step(k, ms_since(start));
    hidden_ = accepted;
    position_ += accepted + 1;
  }

  EngineImpl& impl_;
  int64_t begin_;
  Sequence sequence_;
  Stepper stepper_;
  StepPlan plan_;
  bool filled_ = false;
  int64_t position_ = 0;  // of the newest token, which is not in the KV cache
  int32_t hidden_ = 0;    // row that gave it
  std::vector<Candidate> found_;
};

}  // namespace

DraftBenchRun bench_drafts(const Engine& engine, const DraftBenchOptions& options) {
  EngineImpl& impl = engine.impl();
  if (!impl.drafter)
    throw_error(ErrorKind::kBadRequest, "bench of drafts: {} has no drafter; name one with --draft-model",
                impl.config.path);
  if (options.tokens < 1 || options.depth < 0)
    throw_error(ErrorKind::kBadRequest, "bench of {} tokens at a depth of {}, expected 1 and 0 or more",
                options.tokens, options.depth);
  const int64_t needed = int64_t{options.depth} + options.tokens + 32;
  if (needed > impl.options.context_tokens)
    throw_error(ErrorKind::kTooLarge,
                "bench of {} tokens at a depth of {} needs {} of context, the engine has {}", options.tokens,
                options.depth, needed, impl.options.context_tokens);
  const std::lock_guard turn(impl.turn);
  Rounds rounds(impl, options.depth, options.tokens);
  DraftBenchRun run;
  run.backend = impl.backend->describe();
  run.drafter_share =
      static_cast<double>(impl.drafter->weights().text_bytes) / static_cast<double>(impl.model.text_bytes);
  double done = 0;
  for (const double share : options.shares) {
    const auto points = rounds.measure(share, options.drafts, options.tokens);
    double plain = 0;
    for (const auto& p : points)
      if (p.drafts == 0) plain = p.token_ms;
    for (DraftBenchRun::Point p : points) {
      double expected = 1, all = 1;
      for (int d = 0; d < p.drafts; ++d) expected += all *= share;
      if (p.drafts >= 0) p.ideal_ms = plain * (1 + p.drafts * run.drafter_share) / expected;
      run.points.push_back(p);
    }
    if (options.on_progress) options.on_progress(++done / static_cast<double>(options.shares.size()));
  }
  return run;
}

}  // namespace tessera
