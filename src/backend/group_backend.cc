#include "backend/group_backend.h"

#include <algorithm>
#include <mutex>
#include <numeric>

#include "backend/handle_map.h"
#include "base/error.h"
#include "base/gang.h"

namespace tessera {
namespace {

// Weight::data points to it.
struct SharedWeight {
  std::vector<Weight> of;  // by rank
  Cut cut = Cut::kWhole;
  std::vector<Share> outputs;  // of the first part; kOutputs
};

// What a handle stands for.
struct SharedMemory {
  std::vector<std::shared_ptr<void>> of;  // by rank
  int64_t kv_heads = 0;                   // K or V of so many heads; 0: other memory
  const SharedWeight* columns = nullptr;  // rows of this weight's outputs, each rank has its own
};

const SharedWeight& shared(Weight w) {
  return *static_cast<const SharedWeight*>(w.data);
}

class GroupBackend final : public Backend {
 public:
  GroupBackend(std::vector<std::unique_ptr<Backend>> ranks, std::unique_ptr<RankSums> sums)
      : ranks_(std::move(ranks)), sums_(std::move(sums)), gang_(size()), plans_(ranks_.size()) {}
  ~GroupBackend() override {
    try {
      gang_.run([&](int r) { rank(r).sync(); });
    } catch (const Error&) {  // NOLINT: a card that is lost is no news here
    }
  }

  Weight pack(const WeightSource& source) override {
    auto w = std::make_unique<SharedWeight>();
    w->cut = source.cut;
    w->of.resize(ranks_.size());
    std::vector<WeightSource> shares;
    for (int r = 0; r < size(); ++r) {
      shares.push_back(share_of(source, r, size()));
      if (source.cut == Cut::kOutputs)
        w->outputs.push_back(share_of(source.parts[0].rows, source.parts[0].heads, r, size()));
    }
    gang_.run([&](int r) { w->of[at(r)] = rank(r).pack(shares[at(r)]); });
    // A model's first weight; its drafter's head has the same vocabulary and no tokens to look up.
    if (embedding_ == nullptr && source.cut == Cut::kOutputs) embedding_ = w.get();
    return keep(std::move(w), source);
  }

  Weight pack_plain(const WeightSource& source) override {
    auto w = std::make_unique<SharedWeight>();
    for (const auto& r : ranks_) w->of.push_back(r->pack_plain(source));
    return keep(std::move(w), source);
  }

  std::shared_ptr<void> allocate(int64_t bytes) override {
    SharedMemory m;
    for (const auto& r : ranks_) m.of.push_back(r->allocate(bytes));
    return memory_.add(bytes, std::move(m));
  }

  std::shared_ptr<void> allocate_kv(int64_t bytes, int64_t heads, int layer) override {
    SharedMemory m{.of = {}, .kv_heads = heads};
    for (const auto& r : ranks_)
      m.of.push_back(r->allocate_kv(bytes / heads * rank_heads(heads), rank_heads(heads), layer));
    return memory_.add(bytes, std::move(m));
  }

  void weights_done() override {
    gang_.run([&](int r) { rank(r).weights_done(); });
  }
  void reserve(int64_t rows) override {
    gang_.run([&](int r) { rank(r).reserve(rows); });
  }
  DType activation_dtype() const override { return ranks_[0]->activation_dtype(); }

  void write(void* to, const void* from, int64_t bytes) override {
    each_piece(to, bytes, [&](int r, void* at, int64_t offset, int64_t count) {
      rank(r).write(at, static_cast<const uint8_t*>(from) + offset, count);
    });
  }

  void read(float* to, Tensor from) override {
    const int64_t width = dtype_bytes(from.dtype);
    const SharedMemory& m = memory_.find(from.data).value;
    if (m.kv_heads == 0 && m.columns == nullptr)
      ranks_[0]->read(to, local(0, from));
    else
      each_piece(from.data, from.rows * from.cols * width,
                 [&](int r, void* at, int64_t offset, int64_t count) {
                   rank(r).read(to + offset / width, {at, 1, count / width, from.dtype});
                 });
    sums_->check();
  }

  void copy(Tensor to, Tensor from) override {
    const auto [m, offset] = memory_.find(from.data);
    run([=, this, heads = m.kv_heads](int r) {
      const auto part = [&](Tensor t) {
        t.data = on(r, t.data);
        if (heads > 0) t.cols = t.cols / heads * rank_heads(heads);
        return t;
      };
      rank(r).copy(part(to), part(from));
    });
  }

  // The first rank that has no recording of the step runs the body, which leaves a list of operations; each
  // rank enqueues them on its own thread.
  void step(const StepPlan& plan, uint64_t key, const std::function<void()>& body) override {
    share_plan(plan);
    in_step_ = true;
    std::mutex taping;
    std::vector<Operation> tape;
    bool taped = false;
    try {
      if (key == 0)
        body();  // results are read in between
      else
        gang_.run([&](int r) {
          rank(r).step(plans_[at(r)], key, [&, r] {
            {
              const std::lock_guard lock(taping);
              if (!std::exchange(taped, true)) record(body, tape);
            }
            for (const Operation& op : tape) op(r);
          });
        });
    } catch (...) {
      in_step_ = false;
      sums_->recover();
      throw;
    }
    in_step_ = false;
  }

  void candidates(Tensor logits, std::span<const LogitEdit> edits, int64_t count,
                  std::vector<Candidate>& out) override {
    const auto [m, offset] = memory_.find(logits.data);
    if (m.columns == nullptr) return ranks_[0]->candidates(local(0, logits), edits, count, out);
    std::vector<std::vector<Candidate>> found(ranks_.size());
    gang_.run([&, columns = m.columns](int r) {
      const Share share = columns->outputs[at(r)];
      std::vector<LogitEdit> own;
      for (LogitEdit e : edits)
        if (e.id >= share.first && e.id < share.first + share.count) {
          e.id -= static_cast<int32_t>(share.first);
          own.push_back(e);
        }
      rank(r).candidates(local(r, logits), own, std::min(count, share.count), found[at(r)]);
      for (Candidate& c : found[at(r)]) c.id += static_cast<int32_t>(share.first);
    });
    sums_->check();
    out.clear();
    for (const auto& some : found) out.insert(out.end(), some.begin(), some.end());
    std::sort(out.begin(), out.end(), [](const Candidate& a, const Candidate& b) {
      return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
    });
    out.resize(std::min(out.size(), static_cast<size_t>(count)));
  }

  // Each rank has rows of the table and zeros for the others: their sum is exact.
  void embed(Tensor y, Weight table, const StepPlan& plan, float scale) override {
    share_plan(plan);
    TS_CHECK(&shared(table) == embedding_, "{} outputs are no embedding", table.rows);
    run([=, this](int r) {
      rank(r).embed(local(r, y), own(r, table), plans_[at(r)], scale);
      sums_->add_up(r, local(r, y));
    });
  }

  void place_media(Tensor y, const StepPlan& plan) override {
    share_plan(plan);
    run([=, this](int r) { rank(r).place_media(local(r, y), plans_[at(r)]); });
  }
  void rope_angles(RopeTable out, Weight frequency, const StepPlan& plan) override {
    share_plan(plan);
    run([=, this](int r) {
      rank(r).rope_angles({local(r, out.cos), local(r, out.sin)}, own(r, frequency), plans_[at(r)]);
    });
  }
  void norm(Tensor y, Tensor x, Weight w, float eps) override {
    run([=, this](int r) { rank(r).norm(local(r, y), local(r, x), own(r, w), eps); });
  }
  void layer_norm(Tensor y, Tensor x, Weight shift, Weight w, Weight bias, float eps) override {
    run([=, this](int r) {
      rank(r).layer_norm(local(r, y), local(r, x), own(r, shift), own(r, w), own(r, bias), eps);
    });
  }
  void add_positions(Tensor y, Weight table, std::span<const int32_t> xy) override {
    run([=, this, at = std::vector<int32_t>(xy.begin(), xy.end())](int r) {
      rank(r).add_positions(local(r, y), own(r, table), at);
    });
  }

  void linear(Tensor y, Tensor x, Weight w) override {
    const Cut cut = shared(w).cut;
    if (cut == Cut::kInputs) shares_in_ = y.data;
    run([=, this](int r) {
      const Weight part = own(r, w);
      rank(r).linear(local(r, y, cut == Cut::kOutputs ? part.rows : y.cols),
                     local(r, x, cut == Cut::kInputs ? part.cols : x.cols), part);
    });
  }
  void gated_linear(Tensor y, Tensor x, Weight w) override {
    run([=, this](int r) {
      const SharedWeight& s = shared(w);
      const int64_t cols = s.cut == Cut::kOutputs ? s.outputs[at(r)].count : y.cols;
      rank(r).gated_linear(local(r, y, cols), local(r, x), own(r, w));
    });
  }
  void rope_store(Tensor q, Tensor qkv, const HeadShape& shape, Weight q_norm, Weight k_norm, RopeTable rope,
                  const StepPlan& plan, const KvLayer& kv) override {
    share_plan(plan);
    run([=, this, s = own(shape)](int r) {
      rank(r).rope_store(local(r, q, s.q_heads * s.head_dim), local(r, qkv, s.qkv_cols()), s, own(r, q_norm),
                         own(r, k_norm), {local(r, rope.cos), local(r, rope.sin)}, plans_[at(r)], own(r, kv));
    });
  }
  void attend(Tensor y, Tensor q, const HeadShape& shape, const KvLayer& kv, const StepPlan& plan) override {
    share_plan(plan);
    run([=, this, s = own(shape)](int r) {
      const int64_t cols = s.q_heads * s.head_dim;
      rank(r).attend(local(r, y, cols), local(r, q, cols), s, own(r, kv), plans_[at(r)]);
    });
  }
  void residual_norm(Tensor x, Tensor y, Weight w_post, float scale, Tensor h, Weight w_next,
                     float eps) override {
    run([=, this, add = std::exchange(shares_in_, nullptr) == y.data](int r) {
      if (add)
        sums_->add_up_residual_norm(r, rank(r), local(r, x), local(r, y), own(r, w_post), scale, local(r, h),
                                    own(r, w_next), eps);
      else
        rank(r).residual_norm(local(r, x), local(r, y), own(r, w_post), scale, local(r, h), own(r, w_next),
                              eps);
    });
  }
  void take_rows(Tensor y, Tensor x, const StepPlan& plan) override {
    share_plan(plan);
    run([=, this](int r) { rank(r).take_rows(local(r, y), local(r, x), plans_[at(r)]); });
  }
  void join(Tensor y, Tensor a, Tensor b, const StepPlan& plan) override {
    share_plan(plan);
    run([=, this](int r) { rank(r).join(local(r, y), local(r, a), local(r, b), plans_[at(r)]); });
  }
  void logits(Tensor y, Tensor x, Weight w, float cap) override {
    if (shared(w).cut == Cut::kOutputs) memory_.find(y.data).value.columns = &shared(w);
    run([=, this](int r) { rank(r).logits(local(r, y), local(r, x), own(r, w), cap); });
  }
  void sync() override {
    gang_.run([&](int r) { rank(r).sync(); });
    sums_->check();
  }

  int64_t weight_bytes() const override {
    return std::accumulate(ranks_.begin(), ranks_.end(), int64_t{0},
                           [](int64_t sum, const auto& r) { return sum + r->weight_bytes(); });
  }
  std::string describe() const override {
    return fmt::format("{} × {}, {}", ranks_.size(), ranks_[0]->describe(), sums_->describe());
  }

 private:
  using Operation = std::function<void(int rank)>;
  int size() const { return static_cast<int>(ranks_.size()); }
  static size_t at(int r) { return static_cast<size_t>(r); }
  Backend& rank(int r) { return *ranks_[at(r)]; }
  void record(const std::function<void()>& body, std::vector<Operation>& tape) {
    tape_ = &tape;
    try {
      body();
    } catch (...) {
      tape_ = nullptr;
      tape.clear();  // the other ranks do nothing
      throw;
    }
    tape_ = nullptr;
  }
  void run(Operation op) {
    if (tape_ != nullptr)
      tape_->push_back(std::move(op));
    else
      gang_.run(op);
  }

  Weight keep(std::unique_ptr<SharedWeight> w, const WeightSource& source) {
    int64_t rows = 0;
    for (const WeightPart& p : source.parts) rows += align_up(p.rows, source.row_align);
    weights_.push_back(std::move(w));
    return {weights_.back().get(), rows, source.cols, weights_.back()->of[0].dtype};
  }
  static Weight own(int r, Weight w) { return w ? shared(w).of[at(r)] : w; }

  int64_t rank_heads(int64_t kv_heads) const { return std::max<int64_t>(1, kv_heads / size()); }
  HeadShape own(HeadShape s) const {
    s.q_heads /= size();
    s.kv_heads = rank_heads(s.kv_heads);
    return s;
  }
  KvLayer own(int r, KvLayer kv) const {
    kv.k = static_cast<uint8_t*>(on(r, kv.k));
    kv.v = static_cast<uint8_t*>(on(r, kv.v));
    kv.pages = static_cast<const int32_t*>(on(r, kv.pages));
    kv.kv_heads = rank_heads(kv.kv_heads);
    return kv;
  }

  /// A rank's memory behind a handle.
  void* on(int r, const void* handle) const {
    if (handle == nullptr) return nullptr;
    auto [m, offset] = memory_.find(handle);
    if (m.kv_heads > 0) offset = offset / m.kv_heads * rank_heads(m.kv_heads);
    return static_cast<uint8_t*>(m.of[at(r)].get()) + offset;
  }
  Tensor local(int r, Tensor t, int64_t cols = 0) const {
    if (t.data == nullptr) return t;
    const auto [m, offset] = memory_.find(t.data);
    if (m.columns == nullptr) return {on(r, t.data), t.rows, cols > 0 ? cols : t.cols, t.dtype};
    const int64_t own_cols = m.columns->outputs[at(r)].count, width = dtype_bytes(t.dtype);
    return {static_cast<uint8_t*>(m.of[at(r)].get()) + offset / (t.cols * width) * own_cols * width, t.rows,
            own_cols, t.dtype};
  }

  // piece(rank, its memory, offset in the whole, bytes): what the ranks have of `bytes` from a handle's place
  // on; where several have the same, each of them. Rows of logits are whole rows, K and V whole blocks.
  template <typename Piece>
  void each_piece(const void* handle, int64_t bytes, const Piece& piece) {
    const auto [m, offset] = memory_.find(handle);
    for (int r = 0; r < size(); ++r) {
      auto* base = static_cast<uint8_t*>(m.of[at(r)].get());
      if (m.kv_heads > 0) {
        const int64_t head_bytes = bytes / m.kv_heads, own_heads = rank_heads(m.kv_heads);
        piece(r, on(r, handle), m.kv_heads * r / size() * head_bytes, own_heads * head_bytes);
      } else if (m.columns != nullptr) {
        const int64_t all = m.columns->outputs.back().first + m.columns->outputs.back().count;
        const Share share = m.columns->outputs[at(r)];
        for (int64_t row = 0; row < bytes / (all * 4); ++row)
          piece(r, base + (offset / (all * 4) + row) * share.count * 4, (row * all + share.first) * 4,
                share.count * 4);
      } else {
        piece(r, base + offset, 0, bytes);
      }
    }
  }

  // Plans of the ranks: tokens are looked up by who has them.
  void share_plan(const StepPlan& plan) {
    if (in_step_) return;
    for (int r = 0; r < size(); ++r) {
      plans_[at(r)] = plan;
      plans_[at(r)].media = local(r, plan.media);
    }
    if (embedding_ == nullptr) return;
    for (int r = 0; r < size(); ++r) {
      const Share share = embedding_->outputs[at(r)];
      for (int32_t& id : plans_[at(r)].token) {
        const bool has = id >= share.first && id < share.first + share.count;
        id = has ? id - static_cast<int32_t>(share.first) : -1;
      }
    }
  }

  std::vector<std::unique_ptr<Backend>> ranks_;
  std::unique_ptr<RankSums> sums_;
  Gang gang_;
  std::vector<std::unique_ptr<SharedWeight>> weights_;
  HandleMap<SharedMemory> memory_;
  std::vector<StepPlan> plans_;  // of the step at hand, by rank
  bool in_step_ = false;
  std::vector<Operation>* tape_ = nullptr;   // where operations go; null: to the ranks
  const void* shares_in_ = nullptr;          // the tensor that holds shares of a sum
  const SharedWeight* embedding_ = nullptr;  // its rows are the tokens
};

}  // namespace

std::unique_ptr<Backend> make_group_backend(std::vector<std::unique_ptr<Backend>> ranks,
                                            std::unique_ptr<RankSums> sums) {
  return std::make_unique<GroupBackend>(std::move(ranks), std::move(sums));
}

}  // namespace tessera
