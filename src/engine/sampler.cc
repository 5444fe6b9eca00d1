#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

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

void Sampler::collect_edits(std::span<const int32_t> context, std::span<const int32_t> generated,
                            int64_t vocab) {
  edits_.clear();
  std::unordered_map<int32_t, LogitEdit> by_id;
  if (options_.repetition_penalty != 1.0F)
    for (const int32_t id : context) by_id[id] = {id, options_.repetition_penalty, 0};
  if (options_.presence_penalty != 0 || options_.frequency_penalty != 0) {
    std::unordered_map<int32_t, int> counts;
    for (const int32_t id : generated) ++counts[id];
    for (const auto& [id, count] : counts) {
      LogitEdit& e = by_id[id];
      e.id = id;
      e.subtract = options_.presence_penalty + options_.frequency_penalty * static_cast<float>(count);
    }
  }
  for (const int32_t id : suppressed_)
    if (id >= 0 && id < vocab) by_id[id] = {id, 1, std::numeric_limits<float>::infinity()};
  for (const auto& [id, edit] : by_id) edits_.push_back(edit);
}

int64_t Sampler::wanted(int64_t vocab) const {
  if (options_.temperature == 0) return 1;
  return options_.top_k > 0 ? std::min<int64_t>(options_.top_k, vocab) : vocab;
}

int32_t Sampler::sample(Backend& backend, Tensor logits, std::span<const int32_t> context,
                        std::span<const int32_t> generated, int64_t position) {
  collect_edits(context, generated, logits.cols);
  backend.candidates(logits, edits_, wanted(logits.cols), candidates_);
  return options_.temperature == 0 ? candidates_.front().id : draw(position);
}

int32_t Sampler::sample(std::span<float> logits, std::span<const int32_t> context,
                        std::span<const int32_t> generated, int64_t position) {
  const auto vocab = static_cast<int64_t>(logits.size());
  collect_edits(context, generated, vocab);
  host_candidates(logits, edits_, wanted(vocab), candidates_);
  return options_.temperature == 0 ? candidates_.front().id : draw(position);
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
