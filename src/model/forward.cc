#include "model/forward.h"

#include <algorithm>

namespace tessera {
Scratch::Scratch(Backend& backend, const Model& model, int64_t rows, int64_t logit_rows)
    : max_rows(rows), max_logit_rows(logit_rows) {
  const int64_t d = model.config.hidden;
  int64_t qkv_cols = 0, q_cols = 0;
  for (const Layer& l : model.layers) {
    qkv_cols = std::max(qkv_cols, l.shape.qkv_cols());
    q_cols = std::max(q_cols, l.shape.q_heads * l.shape.head_dim);
  }
  x = take(backend, rows, d);
  const DType act = backend.activation_dtype();
  h = take(backend, rows, d, act);
  y = take(backend, rows, d);
  qkv = take(backend, rows, qkv_cols);
  q = take(backend, rows, q_cols, act);
  attn = take(backend, rows, q_cols, act);
  ffn = take(backend, rows, model.config.intermediate, act);
  for (const Weight& f : model.rope_frequency)
    rope.push_back({take(backend, rows, f.cols), take(backend, rows, f.cols)});
  hidden = take(backend, logit_rows, d, act);
  logits = take(backend, logit_rows, model.config.vocab);
}

Tensor Scratch::take(Backend& backend, int64_t rows, int64_t cols, DType dtype) {
  memory_.push_back(backend.allocate(rows * cols * dtype_bytes(dtype)));
  return {memory_.back().get(), rows, cols, dtype};
}

Tensor view(Tensor t, int64_t rows, int64_t cols) {
  return {t.data, rows, cols, t.dtype};
}

Tensor Scratch::logits_of(int64_t i) const {
  return {logits.row(i), 1, logits.cols, logits.dtype};
}

uint64_t step_key(const Model& m, const StepPlan& plan, const std::vector<KvLayer>& kv, const Scratch& s,
                  const void* input) {
  uint64_t key = 0xcbf29ce484222325;
  const auto add = [&key](uint64_t value) {
    key = (key ^ value) * 0x9E3779B97F4A7C15U;
    key ^= key >> 29;
  };
  const auto address = [&add](const void* p) { add(reinterpret_cast<uintptr_t>(p)); };
  add(static_cast<uint64_t>(plan.rows()) << 32 | static_cast<uint64_t>(plan.logit_rows()));
  address(&m);
  address(input);
  address(s.x.data);
  address(s.logits.data);
  for (const KvLayer& l : kv) {
    address(l.k);
    address(l.v);
    address(l.pages);
    add(static_cast<uint64_t>(l.ring_blocks) << 32 | static_cast<uint64_t>(l.pages_per_sequence));
  }
  return key != 0 ? key : 1;
}

void run_layers(Backend& be, const Model& m, const StepPlan& plan, const std::vector<KvLayer>& kv,
                Scratch& s) {
  const int64_t rows = plan.rows();
  const float eps = m.config.rms_eps;
  const Tensor x = view(s.x, rows, s.x.cols);
  const Tensor h = view(s.h, rows, s.h.cols);
  const Tensor y = view(s.y, rows, s.y.cols);
  const Tensor ffn = view(s.ffn, rows, s.ffn.cols);

  for (size_t i = 0; i < m.rope_frequency.size(); ++i) be.rope_angles(s.rope[i], m.rope_frequency[i], plan);
  be.norm(h, x, m.layers[0].attn_norm, eps);

  for (size_t i = 0; i < m.layers.size(); ++i) {
    const Layer& l = m.layers[i];
    const Tensor qkv = view(s.qkv, rows, l.shape.qkv_cols());
    const Tensor q = view(s.q, rows, l.shape.q_heads * l.shape.head_dim);
    const Tensor attn = view(s.attn, rows, q.cols);

    be.seam(static_cast<int>(i), x, h);
    be.linear(qkv, h, l.w_qkv);
    be.rope_store(q, qkv, l.shape, l.q_norm, l.k_norm, s.rope[l.rope], plan, kv[i]);
    be.attend(attn, q, l.shape, kv[i], plan);
    be.linear(y, attn, l.w_o);
    be.residual_norm(x, y, l.post_attn_norm, 1.0F, h, l.ffn_norm, eps);

    be.gated_linear(ffn, h, l.w_gate_up);
    be.linear(y, ffn, l.w_down);
    be.residual_norm(x, y, l.post_ffn_norm, l.scale, h, l.next_norm, eps);
  }
  be.seam(static_cast<int>(m.layers.size()), x, h);
}

namespace {

void run_model(Backend& be, const Model& m, const StepPlan& plan, const std::vector<KvLayer>& kv,
               Scratch& s) {
  const Tensor x = view(s.x, plan.rows(), s.x.cols);
  be.embed(x, m.tok_embed, plan, m.config.embed_scale);
  be.place_media(x, plan);
  run_layers(be, m, plan, kv, s);
  if (plan.logit_rows() == 0) return;
  const Tensor hidden = view(s.hidden, plan.logit_rows(), s.hidden.cols);
  be.take_rows(hidden, view(s.h, plan.rows(), s.h.cols), plan);
  be.logits(view(s.logits, plan.logit_rows(), s.logits.cols), hidden, m.tok_embed, m.config.logit_softcap);
}

}  // namespace

void forward(Backend& be, const Model& m, const StepPlan& plan, const std::vector<KvLayer>& kv, Scratch& s) {
  be.step(plan, step_key(m, plan, kv, s, nullptr), [&] { run_model(be, m, plan, kv, s); });
}

}  // namespace tessera
