#pragma once
// The drafter: a few layers that read the model's KV cache and propose its next tokens (docs/spec/mtp.md).
#include <memory>
#include <vector>

#include "model/forward.h"

namespace tessera {

/// Throws Error(kBadModel) naming what does not fit when `drafter` was made for another model than `target`.
void check_pair(const ModelConfig& drafter, const ModelConfig& target);

class Drafter {
 public:
  /// `weights`: a drafter, bound on `backend`. `target` and `backend` must outlive this. Steps have at most
  /// `max_rows` rows. Throws as check_pair.
  Drafter(Backend& backend, Model weights, const Model& target, int64_t max_rows);

  /// One token further for each row. plan: the row's newest token; position and span_end the last position
  /// that is in the target's KV cache; turn the position that q is turned to; logit_row row of `states` that
  /// belongs to the row. `states`: [any, target's hidden]: the target's hidden rows (Scratch::hidden) for a
  /// round's first token, own states() for those after it. `target_kv`: KvCache::layers() of the target.
  void step(const StepPlan& plan, Tensor states, const std::vector<KvLayer>& target_kv);
  /// The likeliest token of row i of the last step; waits.
  int32_t best(int64_t row);

  /// Of the last step: [max_rows, target's hidden] float32; its first rows are the step's.
  Tensor states() const { return states_; }
  /// Logits of row i of the last step, [1, vocab]; with a centroid head as best() left them.
  Tensor logits_of(int64_t row) const { return scratch_.logits_of(row); }
  const Model& weights() const { return weights_; }

 private:
  void keep_best_clusters(int64_t row);

  Backend* backend_;
  Model weights_;
  const Model* target_;
  std::vector<size_t> kv_of_;  // the target's layer whose K and V a layer reads
  std::vector<KvLayer> kv_;
  Scratch scratch_;
  Tensor embedded_, joined_, states_, cluster_scores_;
  std::vector<std::shared_ptr<void>> memory_;
  std::vector<Candidate> candidates_;
};

}  // namespace tessera
