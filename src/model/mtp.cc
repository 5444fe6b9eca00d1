#include "model/mtp.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace tessera {
namespace {

/// The last layer of a kind: the only ones whose K and V a drafter reads. Throws Error(kBadModel).
size_t last_of_kind(const ModelConfig& target, bool sliding, const ModelConfig& drafter) {
  for (size_t i = target.layers.size(); i-- > 0;)
    if (target.layers[i].sliding == sliding) return i;
  throw_error(ErrorKind::kBadModel, "{}: the drafter has {} layers, {} has none whose keys they could read",
              drafter.path, sliding ? "sliding" : "full", target.path);
}

}  // namespace

void check_pair(const ModelConfig& drafter, const ModelConfig& target) {
  const auto expect = [&](const std::string& what, auto found, auto wanted) {
    if (found != wanted)
      throw_error(ErrorKind::kBadModel, "{}: {} is {}, but {} has {}: it is not the drafter of this model",
                  drafter.path, what, found, target.path, wanted);
  };
  TS_CHECK(drafter.drafter, "{} is no drafter", drafter.path);
  expect("the drafted model's hidden size", drafter.drafter->target_hidden, target.hidden);
  expect("the vocabulary", drafter.vocab, target.vocab);
  for (size_t i = 0; i < drafter.layers.size(); ++i) {
    const LayerConfig& own = drafter.layers[i];
    const LayerConfig& read = target.layers[last_of_kind(target, own.sliding, drafter)];
    const std::string layer = fmt::format("layer {}'s ", i);
    expect(layer + "number of KV heads", own.kv_heads, read.kv_heads);
    expect(layer + "head size", own.head_dim, read.head_dim);
    const RopeConfig &a = own.sliding ? drafter.rope_sliding : drafter.rope_full,
                     &b = own.sliding ? target.rope_sliding : target.rope_full;
    expect(layer + "rope base", a.theta, b.theta);
    expect(layer + "share of turning pairs", static_cast<int64_t>(a.rotary_fraction * own.head_dim / 2),
           static_cast<int64_t>(b.rotary_fraction * own.head_dim / 2));
    if (own.sliding) expect("the sliding window", drafter.window, target.window);
  }
}

Drafter::Drafter(Backend& backend, Model weights, const Model& target, int64_t max_rows)
    : backend_(&backend),
      weights_(std::move(weights)),
      target_(&target),
      scratch_(backend, weights_, max_rows, max_rows) {
  check_pair(weights_.config, target.config);
  for (const LayerConfig& layer : weights_.config.layers)
    kv_of_.push_back(last_of_kind(target.config, layer.sliding, weights_.config));
  const auto take = [&](int64_t cols, DType dtype) {
    memory_.push_back(backend.allocate(max_rows * cols * dtype_bytes(dtype)));
    return Tensor{memory_.back().get(), max_rows, cols, dtype};
  };
  const int64_t d = target.config.hidden;
  embedded_ = take(d, DType::kF32);
  joined_ = take(2 * d, backend.activation_dtype());
  states_ = take(d, DType::kF32);
  if (weights_.draft.centroids) cluster_scores_ = take(weights_.draft.centroids.rows, DType::kF32);
}

void Drafter::step(const StepPlan& plan, Tensor states, const std::vector<KvLayer>& target_kv) {
  const int64_t rows = plan.rows();
  TS_CHECK(rows <= scratch_.max_rows && plan.logit_rows() == rows, "{} rows of {}, {} states", rows,
           scratch_.max_rows, plan.logit_rows());
  kv_.clear();
  for (const size_t layer : kv_of_) kv_.push_back(target_kv[layer]);
  const auto first = [rows](Tensor t) { return view(t, rows, t.cols); };
  backend_->step(plan, step_key(weights_, plan, kv_, scratch_, states.data), [&] {
    Backend& be = *backend_;
    be.embed(first(embedded_), target_->tok_embed, plan, target_->config.embed_scale);
    be.join(first(joined_), first(embedded_), states, plan);
    be.linear(first(scratch_.x), first(joined_), weights_.draft.pre_projection);
    run_layers(be, weights_, plan, kv_, scratch_);
    const Tensor h = first(scratch_.h);
    be.logits(first(scratch_.logits), h, weights_.tok_embed, weights_.config.logit_softcap);
    be.linear(first(states_), h, weights_.draft.post_projection);
    if (weights_.draft.centroids) be.linear(first(cluster_scores_), h, weights_.draft.centroids);
  });
}

// All logits are computed and most are dropped: the models that this engine is for have no such head.
void Drafter::keep_best_clusters(int64_t row) {
  const DraftHead& head = weights_.draft;
  std::vector<float> logits(static_cast<size_t>(weights_.config.vocab));
  const Tensor at = logits_of(row);
  backend_->read(logits.data(), at);
  backend_->candidates({cluster_scores_.row(row), 1, cluster_scores_.cols, DType::kF32}, {},
                       weights_.config.drafter->best_centroids, candidates_);
  const size_t members = logits.size() / static_cast<size_t>(head.centroids.rows);
  std::vector<bool> kept(logits.size());
  float least = INFINITY;
  for (const Candidate& c : candidates_)
    for (size_t i = 0; i < members; ++i) {
      const auto id = static_cast<size_t>(head.token_ordering[static_cast<size_t>(c.id) * members + i]);
      kept[id] = true;
      least = std::min(least, logits[id]);
    }
  for (size_t id = 0; id < logits.size(); ++id)
    if (!kept[id]) logits[id] = least - 1;
  backend_->write(at.data, logits.data(), static_cast<int64_t>(logits.size() * sizeof(float)));
  backend_->sync();  // before the memory goes
}

int32_t Drafter::best(int64_t row) {
  if (weights_.draft.centroids) keep_best_clusters(row);
  backend_->candidates(logits_of(row), {}, 1, candidates_);
  return candidates_.front().id;
}

}  // namespace tessera
