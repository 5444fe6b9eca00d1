#include "engine/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "base/error.h"

namespace tessera {
namespace {

constexpr float kNever = std::numeric_limits<float>::infinity();  // what is subtracted from a banned token

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

// A model may have more rows of logits than its vocabulary has tokens.
uint64_t word(std::span<const uint64_t> bits, size_t i) {
  return i < bits.size() ? bits[i] : 0;
}

bool has(std::span<const uint64_t> bits, int32_t id) {
  return (word(bits, static_cast<size_t>(id) / 64) >> (id % 64) & 1) != 0;
}

}  // namespace

Sampler::Sampler(const Sampling& options, uint64_t seed, std::vector<int32_t> suppressed,
                 std::vector<LogitBias> bias)
    : options_(options), seed_(seed), suppressed_(std::move(suppressed)), bias_(std::move(bias)) {
  const Sampling& o = options_;
  require(o.temperature >= 0 && o.temperature <= 100, "temperature", o.temperature, "0 … 100");
  require(o.top_k >= 0, "top-k", o.top_k, "0 (all) or more");
  require(o.top_p > 0 && o.top_p <= 1, "top-p", o.top_p, "above 0, at most 1");
  require(o.min_p >= 0 && o.min_p <= 1, "min-p", o.min_p, "0 … 1");
  require(o.repetition_penalty > 0 && o.repetition_penalty <= 100, "repetition penalty", o.repetition_penalty,
          "above 0, at most 100");
  require(std::abs(o.presence_penalty) <= 100, "presence penalty", o.presence_penalty, "-100 … 100");
  require(std::abs(o.frequency_penalty) <= 100, "frequency penalty", o.frequency_penalty, "-100 … 100");
  for (const LogitBias& b : bias_) require(std::abs(b.bias) <= 100, "logit bias", b.bias, "-100 … 100");
  std::sort(bias_.begin(), bias_.end(), [](const LogitBias& a, const LogitBias& b) { return a.id < b.id; });
  for (size_t i = 0; i < bias_.size(); ++i)
    if (bias_[i].id < 0 || (i > 0 && bias_[i].id == bias_[i - 1].id))
      throw_error(ErrorKind::kBadRequest, "logit bias of token {}: {}", bias_[i].id,
                  bias_[i].id < 0 ? "expected an id of the vocabulary" : "stated twice");
}

void Sampler::collect_edits(std::span<const int32_t> context, std::span<const int32_t> generated,
                            int64_t vocab, std::span<const int32_t> banned) {
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
  for (const LogitBias& b : bias_) {
    if (b.id >= vocab) continue;
    LogitEdit& e = by_id[b.id];
    e.id = b.id;
    e.subtract -= b.bias > -100 ? b.bias : -kNever;
  }
  for (const auto ids : {std::span<const int32_t>(suppressed_), banned})
    for (const int32_t id : ids)
      if (id >= 0 && id < vocab) by_id[id] = {id, 1, kNever};
  for (const auto& [id, edit] : by_id) edits_.push_back(edit);
}

int64_t Sampler::wanted(int64_t vocab) const {
  if (options_.temperature == 0) return 1;
  return options_.top_k > 0 ? std::min<int64_t>(options_.top_k, vocab) : vocab;
}

int32_t Sampler::sample(Backend& backend, Tensor logits, std::span<const int32_t> context,
                        std::span<const int32_t> generated, int64_t position, const DrawLimits& limits) {
  collect_edits(context, generated, logits.cols, limits.banned);
  if (limits.only.empty()) {
    backend.candidates(logits, edits_, wanted(logits.cols), candidates_);
  } else {
    drop_edits_of_all(limits.only);
    if (!likeliest_allowed(backend, logits, limits.only)) {
      host_.resize(static_cast<size_t>(logits.cols));
      backend.read(host_.data(), logits);
      for (size_t i = 0; i < host_.size(); i += 64) {
        const uint64_t bits = word(limits.only, i / 64);
        if (bits == ~uint64_t{0}) continue;
        for (size_t k = i; k < std::min(i + 64, host_.size()); ++k)
          if ((bits >> (k - i) & 1) == 0) host_[k] = -kNever;
      }
      host_candidates(host_, edits_, wanted(logits.cols), candidates_);
    }
  }
  return options_.temperature == 0 ? candidates_.front().id : draw(position);
}

// Where edits ban everything that a format allows, the format has precedence.
void Sampler::drop_edits_of_all(std::span<const uint64_t> only) {
  int64_t left = 0;
  for (const uint64_t bits : only) left += std::popcount(bits);
  for (const LogitEdit& e : edits_) left -= e.subtract == kNever && has(only, e.id);
  if (left == 0) edits_.clear();
}

// Most of what a model wants to write is allowed: when enough of the likeliest tokens of all are, they are
// the likeliest of those allowed, and no row has to come to the host. Only with edits that may be made twice.
bool Sampler::likeliest_allowed(Backend& backend, Tensor logits, std::span<const uint64_t> only) {
  constexpr int64_t kMost = 256;  // as many as a card hands back without copying the row
  const int64_t want = wanted(logits.cols);
  if (4 * want > kMost) return false;
  for (const LogitEdit& e : edits_)
    if (e.subtract != kNever) return false;
  backend.candidates(logits, edits_, std::min(4 * want, logits.cols), candidates_);
  std::erase_if(candidates_, [&](const Candidate& c) { return !has(only, c.id); });
  if (static_cast<int64_t>(candidates_.size()) < want) return false;
  candidates_.resize(static_cast<size_t>(want));
  return candidates_.front().logit != -kNever;
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

Logprobs::Logprobs(Backend& backend, Tensor logits, int count) : logits_(static_cast<size_t>(logits.cols)) {
  backend.read(logits_.data(), logits);
  const float top = *std::max_element(logits_.begin(), logits_.end());
  double sum = 0;
  for (const float z : logits_) sum += std::exp(z - top);
  log_sum_ = top + std::log(sum);
  if (count > 0) host_candidates(logits_, {}, std::min<int64_t>(count, logits.cols), top_);
  for (Candidate& c : top_) c.logit = of(c.id);
}

float Logprobs::of(int32_t id) const {
  return static_cast<float>(logits_[static_cast<size_t>(id)] - log_sum_);
}

}  // namespace tessera
