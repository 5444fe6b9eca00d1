#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"

namespace tessera {
namespace {

void require(bool ok, const char* name, double value, const char* range) {
  if (!ok) throw_error(ErrorKind::kBadRequest, "{} is {}, expected {}", name, value, range);
}

// Uniform in [0, 1) from seed and position: SplitMix64's finaliser, 53 bits.
double uniform(uint64_t seed, int64_t position) {
  uint64_t z = seed + (static_cast<uint64_t>(position) + 1) * 0x9E3779B97F4A7C15U;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  z ^= z >> 31;
  return static_cast<double>(z >> 11) * 0x1p-53;
}

// Calls found(i) for each i from `first` on, ascending, with logits[i] > threshold, which found may raise.
// Few are: blocks without one are a comparison without branches.
template <typename Found>
void scan_above(std::span<const float> logits, size_t first, float& threshold, const Found& found) {
  constexpr size_t kBlock = 64;
  for (size_t begin = first; begin < logits.size(); begin += kBlock) {
    const size_t end = std::min(logits.size(), begin + kBlock);
    int above = 0;
    for (size_t i = begin; i < end; ++i) above |= static_cast<int>(logits[i] > threshold);
    if (above == 0) continue;
    for (size_t i = begin; i < end; ++i)
      if (logits[i] > threshold) found(i);
  }
}

}  // namespace

Sampler::Sampler(const Sampling& options, uint64_t seed, std::vector<int32_t> suppressed)
    : options_(options), seed_(seed), suppressed_(std::move(suppressed)) {
  const Sampling& o = options_;
  require(o.temperature >= 0 && o.temperature <= 100, "temperature", o.temperature, "0 … 100");
  require(o.top_k >= 0, "top-k", o.top_k, "0 (all) or more");
  require(o.top_p > 0 && o.top_p <= 1, "top-p", o.top_p, "above 0, at most 1");
  require(o.min_p >= 0 && o.min_p <= 1, "min-p", o.min_p, "0 … 1");
  require(o.repetition_penalty > 0 && o.repetition_penalty <= 100, "repetition penalty", o.repetition_penalty,
          "above 0, at most 100");
  require(std::abs(o.presence_penalty) <= 100, "presence penalty", o.presence_penalty, "-100 … 100");
  require(std::abs(o.frequency_penalty) <= 100, "frequency penalty", o.frequency_penalty, "-100 … 100");
}

void Sampler::penalise(std::span<float> logits, std::span<const int32_t> context,
                       std::span<const int32_t> generated) const {
  if (options_.repetition_penalty != 1.0F) {
    const std::unordered_set<int32_t> seen(context.begin(), context.end());
    for (const int32_t id : seen) {
      float& z = logits[static_cast<size_t>(id)];
      z = z > 0 ? z / options_.repetition_penalty : z * options_.repetition_penalty;
    }
  }
  if (options_.presence_penalty != 0 || options_.frequency_penalty != 0) {
    std::unordered_map<int32_t, int> counts;
    for (const int32_t id : generated) ++counts[id];
    for (const auto& [id, count] : counts)
      logits[static_cast<size_t>(id)] -=
          options_.presence_penalty + options_.frequency_penalty * static_cast<float>(count);
  }
}

int32_t Sampler::sample(std::span<float> logits, std::span<const int32_t> context,
                        std::span<const int32_t> generated, int64_t position) {
  for (const int32_t id : suppressed_)
    if (id >= 0 && id < static_cast<int64_t>(logits.size()))
      logits[static_cast<size_t>(id)] = -std::numeric_limits<float>::infinity();
  penalise(logits, context, generated);
  if (options_.temperature == 0) {
    size_t best = 0;
    float most = logits[0];
    scan_above(logits, 1, most, [&](size_t i) { most = logits[best = i]; });
    return static_cast<int32_t>(best);
  }
  collect(logits);
  return draw(position);
}

// The candidates of top-k, best first. Equal logits: the lowest id, as argmax does.
void Sampler::collect(std::span<const float> logits) {
  const auto better = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  };
  const auto top_k = static_cast<size_t>(options_.top_k);
  const bool all = top_k == 0 || top_k >= logits.size();
  const auto take = [&](size_t i) { candidates_.push_back({logits[i], static_cast<int32_t>(i)}); };
  const auto trim = [&] {
    if (candidates_.size() <= top_k) return;
    std::nth_element(candidates_.begin(), candidates_.begin() + static_cast<int64_t>(top_k) - 1,
                     candidates_.end(), better);
    candidates_.resize(top_k);
  };
  // Ids ascend, so that a later one must beat the last of the best k so far: these are kept, and what beats
  // them, until there are four times as many.
  const size_t room = all ? logits.size() : std::min(logits.size(), std::max<size_t>(4 * top_k, 1024));
  candidates_.clear();
  for (size_t i = 0; i < room; ++i) take(i);
  if (!all) {
    trim();
    float threshold = candidates_.back().logit;
    scan_above(logits, room, threshold, [&](size_t i) {
      take(i);
      if (candidates_.size() < room) return;
      trim();
      threshold = candidates_.back().logit;
    });
    trim();
  }
  std::sort(candidates_.begin(), candidates_.end(), better);
}

// From sorted candidates; their `logit` becomes an unnormalised probability.
int32_t Sampler::draw(int64_t position) {
  const float top = candidates_.front().logit;
  double total = 0;
  for (Candidate& c : candidates_) total += c.logit = std::exp((c.logit - top) / options_.temperature);
  // top-p keeps the smallest set whose mass reaches p, the first candidate always; min-p is relative to the
  // first.
  double mass = 0, kept = 0;
  size_t n = 0;
  while (n < candidates_.size() &&
         (n == 0 || (mass < options_.top_p * total && candidates_[n].logit >= options_.min_p)))
    mass += candidates_[n++].logit;
  const double target = uniform(seed_, position) * mass;
  for (size_t i = 0; i < n; ++i)
    if ((kept += candidates_[i].logit) > target) return candidates_[i].id;
  return candidates_[n - 1].id;
}

}  // namespace tessera
