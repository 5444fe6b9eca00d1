#pragma once
// The transformer: one function for every phase and every backend.
#include <memory>
#include <vector>

#include "model/model.h"

namespace tessera {

/// Activations of one step: allocated once for the largest step, viewed by the rows at hand.
class Scratch {
 public:
  Scratch(Backend& backend, const Model& model, int64_t max_rows, int64_t max_logit_rows);

  // h, q, attn, ffn and hidden have the backend's activation_dtype, the others are float32.
  Tensor x, h, y;  // [max_rows, d] residual stream; normed input of the next product; a sublayer's output
  Tensor qkv, q, attn;          // [max_rows, widest layer]
  Tensor ffn;                   // [max_rows, ffn]
  std::vector<RopeTable> rope;  // as Model::rope_frequency, [max_rows, head_dim / 2]
  Tensor hidden, logits;        // [max_logit_rows, d], [max_logit_rows, vocab]
  int64_t max_rows, max_logit_rows;

  /// Logits of row i of the last step's logit rows, [1, vocab].
  Tensor logits_of(int64_t i) const;

 private:
  Tensor take(Backend& backend, int64_t rows, int64_t cols, DType dtype = DType::kF32);
  std::vector<std::shared_ptr<void>> memory_;
};

/// Runs `plan` and leaves hidden states (after the final norm) and logits of the plan's logit rows in `s`.
/// `kv` has one entry a layer. Decode is one row, prefill a chunk, verify 1 + k rows: nothing here tells them
/// apart.
void forward(Backend& be, const Model& m, const StepPlan& plan, const std::vector<KvLayer>& kv, Scratch& s);

}  // namespace tessera
