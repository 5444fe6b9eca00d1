#pragma once
// Passes every call on: the base of backends that watch or disturb another one.
#include "backend/backend.h"

namespace tessera {

class ForwardingBackend : public Backend {
 public:
  /// `inner` must outlive this.
  explicit ForwardingBackend(Backend& inner) : inner_(inner) {}

  Weight pack(const WeightSource& s) override { return inner_.pack(s); }
  Weight pack_plain(const WeightSource& s) override { return inner_.pack_plain(s); }
  std::shared_ptr<void> allocate(int64_t bytes) override { return inner_.allocate(bytes); }
  std::shared_ptr<void> allocate_kv(int64_t bytes, int64_t heads, int layer) override {
    return inner_.allocate_kv(bytes, heads, layer);
  }
  void weights_done() override { inner_.weights_done(); }
  void reserve(int64_t rows) override { inner_.reserve(rows); }
  DType activation_dtype() const override { return inner_.activation_dtype(); }
  void write(void* to, const void* from, int64_t bytes) override { inner_.write(to, from, bytes); }
  void read(float* to, Tensor from) override { inner_.read(to, from); }
  void copy(Tensor to, Tensor from) override { inner_.copy(to, from); }
  void step(const StepPlan& plan, uint64_t key, const std::function<void()>& body) override {
    inner_.step(plan, key, body);
  }
  void candidates(Tensor logits, std::span<const LogitEdit> edits, int64_t count,
                  std::vector<Candidate>& out) override {
    inner_.candidates(logits, edits, count, out);
  }
  void seam(int layer, Tensor x, Tensor h) override { inner_.seam(layer, x, h); }
  void embed(Tensor y, Weight table, const StepPlan& plan, float scale) override {
    inner_.embed(y, table, plan, scale);
  }
  void place_media(Tensor y, const StepPlan& plan) override { inner_.place_media(y, plan); }
  void rope_angles(RopeTable out, Weight f, const StepPlan& plan) override {
    inner_.rope_angles(out, f, plan);
  }
  void norm(Tensor y, Tensor x, Weight w, float eps) override { inner_.norm(y, x, w, eps); }
  void layer_norm(Tensor y, Tensor x, Weight shift, Weight w, Weight b, float eps) override {
    inner_.layer_norm(y, x, shift, w, b, eps);
  }
  void add_positions(Tensor y, Weight table, std::span<const int32_t> xy) override {
    inner_.add_positions(y, table, xy);
  }
  void linear(Tensor y, Tensor x, Weight w) override { inner_.linear(y, x, w); }
  void gated_linear(Tensor y, Tensor x, Weight w) override { inner_.gated_linear(y, x, w); }
  void rope_store(Tensor q, Tensor qkv, const HeadShape& s, Weight qn, Weight kn, RopeTable rope,
                  const StepPlan& plan, const KvLayer& kv) override {
    inner_.rope_store(q, qkv, s, qn, kn, rope, plan, kv);
  }
  void attend(Tensor y, Tensor q, const HeadShape& s, const KvLayer& kv, const StepPlan& plan) override {
    inner_.attend(y, q, s, kv, plan);
  }
  void residual_norm(Tensor x, Tensor y, Weight w, float scale, Tensor h, Weight next, float eps) override {
    inner_.residual_norm(x, y, w, scale, h, next, eps);
  }
  void take_rows(Tensor y, Tensor x, const StepPlan& plan) override { inner_.take_rows(y, x, plan); }
  void join(Tensor y, Tensor a, Tensor b, const StepPlan& plan) override { inner_.join(y, a, b, plan); }
  void logits(Tensor y, Tensor x, Weight w, float cap) override { inner_.logits(y, x, w, cap); }
  void sync() override { inner_.sync(); }
  int64_t weight_bytes() const override { return inner_.weight_bytes(); }
  std::string describe() const override { return inner_.describe(); }

 protected:
  Backend& inner_;
};

}  // namespace tessera
