#pragma once
// How many tokens to draft: from what share of drafts is accepted at each depth and what steps cost. Told
// both, it knows no clock; the text does not depend on it.
#include <algorithm>
#include <array>
#include <cstdint>

namespace tessera {

inline constexpr int kMaxDraft = 8;

/// Share of drafts that are accepted, by depth, of those whose predecessors were: recent ones count more.
class Acceptance {
 public:
  /// depth: 1 … kMaxDraft. What is not known yet is taken to be as at the depth before.
  double share(int depth) const {
    double share = kPriorShare;
    for (int d = 0; d < depth; ++d) {
      const Counter& c = counters_[static_cast<size_t>(d)];
      share = (c.accepted + share * kPrior) / (c.tried + kPrior);
    }
    return share;
  }
  void record(int drafted, int accepted) {
    for (int d = 0; d < std::min({drafted, accepted + 1, kMaxDraft}); ++d) {
      Counter& c = counters_[static_cast<size_t>(d)];
      c.tried = c.tried * kKeep + 1;
      c.accepted = c.accepted * kKeep + (d < accepted ? 1 : 0);
    }
  }
  /// Tokens of a round of `depth` drafts, the one that needs no draft included.
  double tokens(int depth) const {
    double sum = 1, all = 1;
    for (int d = 1; d <= depth; ++d) sum += all *= share(d);
    return sum;
  }
  /// What is known of others, as a few rounds' worth.
  static Acceptance from(const Acceptance& others) {
    Acceptance out;
    for (size_t d = 0; d < out.counters_.size(); ++d) {
      const Counter& c = others.counters_[d];
      const double scale = c.tried > kCarried ? kCarried / c.tried : 1;
      out.counters_[d] = {c.tried * scale, c.accepted * scale};
    }
    return out;
  }

 private:
  static constexpr double kPrior = 1, kPriorShare = 0.6, kKeep = 0.97, kCarried = 4;
  struct Counter {
    double tried = 0, accepted = 0;
  };
  std::array<Counter, kMaxDraft> counters_{};
};

/// Milliseconds of a step by its rows for each generation, and of one drafted token: the least of the
/// latest five: other programs only add to it.
class DraftCosts {
 public:
  /// `depth`: drafts of each generation in the step. The first two of a kind are left out: a card records
  /// them.
  void record_step(int depth, double ms) {
    steps_[static_cast<size_t>(depth)].add(ms);
    if (depth == 0) plain_ += (ms - plain_) / static_cast<double>(std::min<int64_t>(steps_[0].count, 16));
  }
  double plain() const { return plain_; }  // mean of the latest steps without drafts: what people are told
  void record_draft(double ms) { draft_.add(ms); }

  bool known(int depth) const { return steps_[static_cast<size_t>(depth)].known(); }
  double draft() const {
    return draft_.known() ? draft_.least() : draft_.count > 0 ? draft_.first : kDraftShare * step(0);
  }
  /// Of depths that were not measured: the nearest measured one, and a little for each row.
  double step(int depth) const {
    for (int away = 0; away <= kMaxDraft; ++away)
      for (const int d : {depth - away, depth + away})
        if (d >= 0 && d <= kMaxDraft && known(d))
          return steps_[static_cast<size_t>(d)].least() * (1 + kRowShare * (depth - d));
    return 1;
  }
  double round(int depth) const { return step(depth) + depth * draft(); }

 private:
  static constexpr double kDraftShare = 0.15, kRowShare = 0.03;
  struct Latest {
    std::array<double, 5> ms{};
    int64_t count = 0;  // the first two are not kept
    double first = 0;   // until there is something better
    void add(double value) {
      first = value;
      if (++count > 2) ms[static_cast<size_t>((count - 3) % 5)] = value;
    }
    bool known() const { return count > 2; }
    double least() const {
      return *std::min_element(ms.begin(), ms.begin() + std::min<int64_t>(count - 2, 5));
    }
  };
  std::array<Latest, kMaxDraft + 1> steps_{};
  Latest draft_;
  double plain_ = 0;
};

/// The depth of the next round of one reply.
class DraftDepth {
 public:
  DraftDepth() = default;
  /// `prior`: of replies before this one.
  explicit DraftDepth(const Acceptance& prior) : acceptance_(Acceptance::from(prior)) {}

  /// 0 … most. What gives most tokens a millisecond; plain steps until their cost is known; now and then a
  /// neighbour of it, whose cost may have changed; seldom a draft where none pay.
  int choose(const DraftCosts& costs, int most) {
    if (most <= 0 || !costs.known(0)) return 0;
    ++rounds_;
    const int best = best_depth(costs, most);
    if (best == 0) {
      // What a useless draft and its row cost, spread over the tokens between: about half a per cent.
      const double lost = costs.round(1) / costs.step(0) - 1;
      if (++plain_ <
          std::min(wait_, std::max<int64_t>(kLeastPlain, static_cast<int64_t>(lost / kProbeShare))))
        return 0;
      plain_ = 0;
      wait_ =
          std::min(2 * wait_, kLongestWait);  // the first ones soon: two drafts may have been wrong by chance
      return 1;
    }
    plain_ = 0;
    wait_ = kFirstWait;
    if (rounds_ % kNeighbour == 0)
      return std::clamp(best + (rounds_ / kNeighbour % 2 == 0 ? 1 : -1), 0, most);
    return best;
  }
  void record(int drafted, int accepted) { acceptance_.record(drafted, accepted); }
  const Acceptance& acceptance() const { return acceptance_; }

 private:
  static constexpr int64_t kNeighbour = 12, kLeastPlain = 64, kFirstWait = 16, kLongestWait = 1 << 20;
  static constexpr double kProbeShare = 0.005, kLeastGain = 1.03;

  // Drafting must promise a little more than plain steps: measured costs are not exact.
  int best_depth(const DraftCosts& costs, int most) const {
    int best = 0;
    double rate = kLeastGain / costs.step(0);
    for (int d = 1; d <= most; ++d)
      if (const double r = acceptance_.tokens(d) / costs.round(d); r > rate) best = d, rate = r;
    return best;
  }

  Acceptance acceptance_;
  int64_t rounds_ = 0, plain_ = 0, wait_ = kFirstWait;
};

}  // namespace tessera
