#include "backend/layered_backend.h"

#include <algorithm>
#include <array>

#include "backend/handle_map.h"
#include "base/error.h"

namespace tessera {
namespace {

constexpr int kCard = 0, kHost = 1;

// Weight::data points to it: empty where the side has it not.
using SideWeights = std::array<Weight, 2>;

struct SideMemory {
  std::array<std::shared_ptr<void>, 2> of;
  int only = -1;  // K and V: the side of their layer
};

class LayeredBackend final : public Backend {
 public:
  LayeredBackend(std::unique_ptr<Backend> card, std::unique_ptr<Backend> host, int card_layers, int layers)
      : sides_{std::move(card), std::move(host)}, card_layers_(card_layers), layers_(layers) {
    TS_CHECK(sides_[kHost]->activation_dtype() == DType::kF32, "the host computes in float32");
  }

  Weight pack(const WeightSource& source) override {
    const int side = side_of(source.layer);
    SideWeights w;
    w[at(side)] = sides_[at(side)]->pack(source);
    return keep(w, w[at(side)]);
  }
  Weight pack_plain(const WeightSource& source) override {
    const SideWeights w = {sides_[kCard]->pack_plain(source), sides_[kHost]->pack_plain(source)};
    return keep(w, w[kCard]);
  }

  // Twice as much on the host: bfloat16 of the card is float32 there, at twice the offset.
  std::shared_ptr<void> allocate(int64_t bytes) override {
    return memory_.add(bytes, {{sides_[kCard]->allocate(bytes), sides_[kHost]->allocate(2 * bytes)}});
  }
  std::shared_ptr<void> allocate_kv(int64_t bytes, int64_t heads, int layer) override {
    SideMemory m{.of = {}, .only = side_of(layer)};
    m.of[at(m.only)] = sides_[at(m.only)]->allocate_kv(bytes, heads, layer);
    return memory_.add(bytes, std::move(m));
  }
  void weights_done() override {
    for (const auto& s : sides_) s->weights_done();
  }
  void reserve(int64_t rows) override {
    for (const auto& s : sides_) s->reserve(rows);
  }
  DType activation_dtype() const override { return sides_[kCard]->activation_dtype(); }

  void write(void* to, const void* from, int64_t bytes) override {
    const int only = memory_.find(to).value.only;
    for (const int side : {kCard, kHost})
      if (only < 0 || only == side) sides_[at(side)]->write(on(side, to), from, bytes);
  }
  void read(float* to, Tensor from) override {
    const int side = home(from);
    sides_[at(side)]->read(to, local(side, from));
  }
  void copy(Tensor to, Tensor from) override {
    const int side = home(from);
    sides_[at(side)]->copy(local(side, to), local(side, from));
  }

  void step(const StepPlan& plan, uint64_t, const std::function<void()>& body) override {
    card_plan_ = plan;
    card_plan_.media = local(kCard, plan.media);
    side_ = kCard;
    try {
      // Without keys: what the host computes cannot be recorded.
      sides_[kCard]->step(card_plan_, 0, [&] { sides_[kHost]->step(plan, 0, body); });
    } catch (...) {
      side_ = kCard;
      throw;
    }
    side_ = kCard;
  }

  void seam(int layer, Tensor x, Tensor h) override {
    const int side = layer < layers_ ? side_of(layer) : kCard;
    if (side == side_) return;
    for (const Tensor& t : {x, h}) {
      const auto count = static_cast<size_t>(t.rows * t.cols);
      values_.resize(count);
      sides_[at(side_)]->read(values_.data(), local(side_, t));
      const Tensor to = local(side, t);
      if (to.dtype == DType::kBF16) {
        narrow_.resize(count);
        std::transform(values_.begin(), values_.end(), narrow_.begin(), f32_to_bf16);
      }
      const void* from = to.dtype == DType::kBF16 ? static_cast<const void*>(narrow_.data()) : values_.data();
      sides_[at(side)]->write(to.data, from, t.rows * t.cols * dtype_bytes(to.dtype));
      sides_[at(side)]->sync();  // before the values go
    }
    side_ = side;
  }

  void candidates(Tensor logits, std::span<const LogitEdit> edits, int64_t count,
                  std::vector<Candidate>& out) override {
    be().candidates(here(logits), edits, count, out);
  }
  void embed(Tensor y, Weight table, const StepPlan& plan, float scale) override {
    be().embed(here(y), here(table), here(plan), scale);
  }
  void place_media(Tensor y, const StepPlan& plan) override { be().place_media(here(y), here(plan)); }
  // Used by the layers of both sides.
  void rope_angles(RopeTable out, Weight frequency, const StepPlan& plan) override {
    for (const int side : {kCard, kHost})
      sides_[at(side)]->rope_angles({local(side, out.cos), local(side, out.sin)}, own(side, frequency),
                                    side == kCard ? card_plan_ : plan);
  }
  void norm(Tensor y, Tensor x, Weight w, float eps) override { be().norm(here(y), here(x), here(w), eps); }
  void layer_norm(Tensor y, Tensor x, Weight shift, Weight w, Weight bias, float eps) override {
    be().layer_norm(here(y), here(x), here(shift), here(w), here(bias), eps);
  }
  void add_positions(Tensor y, Weight table, std::span<const int32_t> xy) override {
    be().add_positions(here(y), here(table), xy);
  }
  void linear(Tensor y, Tensor x, Weight w) override { be().linear(here(y), here(x), here(w)); }
  void gated_linear(Tensor y, Tensor x, Weight w) override { be().gated_linear(here(y), here(x), here(w)); }
  void rope_store(Tensor q, Tensor qkv, const HeadShape& shape, Weight q_norm, Weight k_norm, RopeTable rope,
                  const StepPlan& plan, const KvLayer& kv) override {
    be().rope_store(here(q), here(qkv), shape, here(q_norm), here(k_norm), {here(rope.cos), here(rope.sin)},
                    here(plan), here(kv));
  }
  void attend(Tensor y, Tensor q, const HeadShape& shape, const KvLayer& kv, const StepPlan& plan) override {
    be().attend(here(y), here(q), shape, here(kv), here(plan));
  }
  void residual_norm(Tensor x, Tensor y, Weight w_post, float scale, Tensor h, Weight w_next,
                     float eps) override {
    be().residual_norm(here(x), here(y), here(w_post), scale, here(h), here(w_next), eps);
  }
  void take_rows(Tensor y, Tensor x, const StepPlan& plan) override {
    be().take_rows(here(y), here(x), here(plan));
  }
  void join(Tensor y, Tensor a, Tensor b, const StepPlan& plan) override {
    be().join(here(y), here(a), here(b), here(plan));
  }
  void logits(Tensor y, Tensor x, Weight w, float cap) override {
    be().logits(here(y), here(x), here(w), cap);
  }
  void sync() override {
    for (const auto& s : sides_) s->sync();
  }

  int64_t weight_bytes() const override {
    return sides_[kCard]->weight_bytes() + sides_[kHost]->weight_bytes();
  }
  std::string describe() const override {
    return fmt::format("{} of {} layers on {}; the others on {}", card_layers_, layers_,
                       sides_[kCard]->describe(), sides_[kHost]->describe());
  }

 private:
  static size_t at(int side) { return static_cast<size_t>(side); }
  int side_of(int layer) const { return layer < card_layers_ ? kCard : kHost; }
  int home(Tensor t) const {
    const int only = memory_.find(t.data).value.only;
    return only >= 0 ? only : side_;
  }

  Weight keep(const SideWeights& w, Weight of) {
    weights_.push_back(std::make_unique<SideWeights>(w));
    return {weights_.back().get(), of.rows, of.cols, of.dtype};
  }
  static Weight own(int side, Weight w) {
    return w ? (*static_cast<const SideWeights*>(w.data))[at(side)] : w;
  }

  void* on(int side, const void* handle, int64_t scale = 1) const {
    if (handle == nullptr) return nullptr;
    const auto [m, offset] = memory_.find(handle);
    return static_cast<uint8_t*>(m.of[at(side)].get()) + scale * offset;
  }
  Tensor local(int side, Tensor t) const {
    const bool wider = side == kHost && t.dtype == DType::kBF16;
    return {on(side, t.data, wider ? 2 : 1), t.rows, t.cols, wider ? DType::kF32 : t.dtype};
  }

  // What the side at hand computes with.
  Backend& be() { return *sides_[at(side_)]; }
  Tensor here(Tensor t) const { return local(side_, t); }
  Weight here(Weight w) const { return own(side_, w); }
  const StepPlan& here(const StepPlan& plan) const { return side_ == kCard ? card_plan_ : plan; }
  KvLayer here(KvLayer kv) const {
    kv.k = static_cast<uint8_t*>(on(side_, kv.k));
    kv.v = static_cast<uint8_t*>(on(side_, kv.v));
    kv.pages = static_cast<const int32_t*>(on(side_, kv.pages));
    return kv;
  }

  std::array<std::unique_ptr<Backend>, 2> sides_;
  int card_layers_, layers_;
  int side_ = kCard;  // that computes; outside of steps the card
  HandleMap<SideMemory> memory_;
  std::vector<std::unique_ptr<SideWeights>> weights_;
  StepPlan card_plan_;  // of the step at hand, with media in the card's memory
  std::vector<float> values_;
  std::vector<uint16_t> narrow_;
};

}  // namespace

std::unique_ptr<Backend> make_layered_backend(std::unique_ptr<Backend> card, std::unique_ptr<Backend> host,
                                              int card_layers, int layers) {
  return std::make_unique<LayeredBackend>(std::move(card), std::move(host), card_layers, layers);
}

}  // namespace tessera
