#include "model/forward.h"

#include <algorithm>

namespace tessera {
namespace {

Tensor view(Tensor t, int64_t rows, int64_t cols) {
  return {t.data, rows, cols, t.dtype};
}

}  // namespace

Scratch::Scratch(Backend& backend, const Model& model, int64_t rows, int64_t logit_rows)
    : max_rows(rows), max_logit_rows(logit_rows) {
  const int64_t d = model.config.hidden;
  int64_t qkv_cols = 0, q_cols = 0;
  for (const Layer& l : model.layers) {
    qkv_cols = std::max(qkv_cols, l.shape.qkv_cols());
    q_cols = std::max(q_cols, l.shape.q_heads * l.shape.head_dim);
  }
  x = take(backend, rows, d);
  h = take(backend, rows, d);
  y = take(backend, rows, d);
  qkv = take(backend, rows, qkv_cols);
  q = take(backend, rows, q_cols);
  attn = take(backend, rows, q_cols);
  ffn = take(backend, rows, model.config.intermediate);
  for (const Weight& f : model.rope_frequency)
    rope.push_back({take(backend, rows, f.cols), take(backend, rows, f.cols)});
  hidden = take(backend, logit_rows, d);
  logits = take(backend, logit_rows, model.config.vocab);
}

Tensor Scratch::take(Backend& backend, int64_t rows, int64_t cols) {
  memory_.push_back(backend.allocate(rows * cols * dtype_bytes(DType::kF32)));
  return {memory_.back().get(), rows, cols, DType::kF32};
}

void forward(Backend& be, const Model& m, const StepPlan& plan, const std::vector<KvLayer>& kv, Scratch& s) {
  const int64_t rows = plan.rows();
  const float eps = m.config.rms_eps;
  const Tensor x = view(s.x, rows, s.x.cols);
  const Tensor h = view(s.h, rows, s.h.cols);
  const Tensor y = view(s.y, rows, s.y.cols);
  const Tensor ffn = view(s.ffn, rows, s.ffn.cols);

  be.embed(x, m.tok_embed, plan, m.config.embed_scale);
  be.place_media(x, plan);
  for (size_t i = 0; i < m.rope_frequency.size(); ++i) be.rope_angles(s.rope[i], m.rope_frequency[i], plan);
  be.norm(h, x, m.layers[0].attn_norm, eps);

  for (size_t i = 0; i < m.layers.size(); ++i) {
    const Layer& l = m.layers[i];
    const Tensor qkv = view(s.qkv, rows, l.shape.qkv_cols());
    const Tensor q = view(s.q, rows, l.shape.q_heads * l.shape.head_dim);
    const Tensor attn = view(s.attn, rows, q.cols);

    be.linear(qkv, h, l.w_qkv);
    be.rope_store(q, qkv, l.shape, l.q_norm, l.k_norm, s.rope[l.rope], plan, kv[i]);
    be.attend(attn, q, l.shape, kv[i], plan);
    be.linear(y, attn, l.w_o);
    be.residual_norm(x, y, l.post_attn_norm, 1.0F, h, l.ffn_norm, eps);

    be.gated_linear(ffn, h, l.w_gate_up);
    be.linear(y, ffn, l.w_down);
    be.residual_norm(x, y, l.post_ffn_norm, l.scale, h, l.next_norm, eps);
  }
  if (plan.logit_rows() == 0) return;
  const Tensor hidden = view(s.hidden, plan.logit_rows(), s.hidden.cols);
  be.take_rows(hidden, h, plan);
  be.logits(view(s.logits, plan.logit_rows(), s.logits.cols), hidden, m.tok_embed, m.config.logit_softcap);
}

}  // namespace tessera
