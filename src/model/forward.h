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

/// The first `rows` rows of `t`, of `cols` columns: a narrower tensor in the same memory.
Tensor view(Tensor t, int64_t rows, int64_t cols);

/// Of all that a recorded step depends on but its plan: memory that was freed and taken again in another
/// order gives another key. `input`: a tensor from outside that the step reads, or nullptr.
uint64_t step_key(const Model& m, const StepPlan& plan, const std::vector<KvLayer>& kv, const Scratch& s,
                  const void* input);

/// The layers, for every phase, the model's and the drafter's: s.x in, its rows' angles, layers; leaves the
/// residual stream in s.x and the final norm's output in s.h. Inside of a step.
void run_layers(Backend& be, const Model& m, const StepPlan& plan, const std::vector<KvLayer>& kv,
                Scratch& s);

/// Runs `plan` and leaves hidden states (after the final norm) and logits of the plan's logit rows in `s`.
/// `kv` has one entry a layer. Decode is one row, prefill a chunk, verify 1 + k rows: nothing here tells them
/// apart.
void forward(Backend& be, const Model& m, const StepPlan& plan, const std::vector<KvLayer>& kv, Scratch& s);

}  // namespace tessera
