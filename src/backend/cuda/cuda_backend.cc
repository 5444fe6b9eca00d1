// The operations of backend/backend.h on one card: products by Products, the rest by the kernels of ops.h.
#include "backend/cuda/cuda_backend.h"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "backend/cuda/card_sums.h"
#include "backend/cuda/ops.h"
#include "backend/cuda/plan_buffers.h"
#include "backend/cuda/products.h"
#include "backend/cuda/recorder.h"
#include "base/error.h"

namespace tessera::cuda {

void require(bool ok, const char* what) {
  if (!ok) throw std::logic_error(fmt::format("cuda: {} is not what the kernels take", what));
}

namespace {

const float* floats(Weight w) {
  return static_cast<const float*>(w.data);
}

Tensor rows_of(Tensor t, int64_t first, int64_t count) {
  return {static_cast<uint8_t*>(t.data) + first * t.cols * dtype_bytes(t.dtype), count, t.cols, t.dtype};
}

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(const CudaOptions& options)
      : exact_(options.exact),
        device_(options.device),
        products_(device_),
        few_(device_),
        many_(device_),
        recorder_(device_) {
    if (options.shared_bytes > 0)
      device_.limit_shared(std::min(options.shared_bytes, device_.shared_limit()));
    found_ = device_.allocate_pinned(kMaxCandidates * static_cast<int64_t>(sizeof(Candidate)));
    found_on_card_ = device_.allocate(kMaxCandidates * static_cast<int64_t>(sizeof(Candidate)));
  }
  ~CudaBackend() override { cudaStreamSynchronize(device_.stream()); }

  Device& device() { return device_; }

  Weight pack(const WeightSource& source) override { return products_.pack(source); }

  Weight pack_plain(const WeightSource& source) override {
    const int64_t rows = source.rows(), bytes = rows * source.cols * 4;
    std::vector<float> values(static_cast<size_t>(rows * source.cols));
    source.read(0, rows, values.data());
    plain_.push_back(device_.allocate(bytes, false));
    plain_bytes_ += bytes;
    write(plain_.back().get(), values.data(), bytes);
    sync();
    return {plain_.back().get(), rows, source.cols, DType::kF32};
  }

  void weights_done() override { products_.weights_done(); }
  std::shared_ptr<void> allocate(int64_t bytes) override {
    products_.forget();  // freed memory comes again
    return device_.allocate(std::max<int64_t>(bytes, 1));
  }

  void reserve(int64_t rows) override {
    const int64_t most = std::max(reserved_rows_, rows);
    reserved_rows_ = 0;  // should there be no memory for it
    products_.reserve(most);
    reserved_rows_ = most;
  }

  DType activation_dtype() const override { return exact_ ? DType::kF32 : DType::kBF16; }

  void write(void* to, const void* from, int64_t bytes) override {
    check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, card().stream()),
          "copying to the card");
  }

  void read(float* to, Tensor from) override {
    const int64_t bytes = from.rows * from.cols * 4;
    std::shared_ptr<void> wide;
    if (from.dtype == DType::kBF16) {
      wide = device_.allocate(bytes, false);
      cuda::widen(device_, static_cast<float*>(wide.get()), from);
    }
    check(cudaMemcpyAsync(to, wide ? wide.get() : from.data, static_cast<size_t>(bytes),
                          cudaMemcpyDeviceToHost, device_.stream()),
          "copying from the card");
    sync();
  }

  void copy(Tensor to, Tensor from) override {
    check(cudaMemcpyAsync(to.data, from.data,
                          static_cast<size_t>(from.rows * from.cols * dtype_bytes(from.dtype)),
                          cudaMemcpyDeviceToDevice, card().stream()),
          "copying on the card");
  }

  void step(const StepPlan& plan, uint64_t key, const std::function<void()>& body) override {
    const bool replay = key != 0 && plan.rows() <= kMatvecRows && plan.media_row.empty();
    PlanBuffers& buffers = replay ? few_ : many_;
    if (staged_) sync();  // an earlier plan may still be on its way
    view_ = buffers.stage(plan);
    staged_ = in_step_ = true;
    products_.forget();  // a replay neither knows nor tells what has digits
    const auto enqueue = [&] {
      buffers.upload();
      body();
    };
    try {
      if (replay)
        recorder_.run(key, enqueue);
      else
        enqueue();
    } catch (...) {
      in_step_ = false;
      products_.forget();
      throw;
    }
    in_step_ = false;
    products_.forget();
  }

  void candidates(Tensor logits, std::span<const LogitEdit> edits, int64_t count,
                  std::vector<Candidate>& out) override {
    if (count > kMaxCandidates) {
      std::vector<float> all(static_cast<size_t>(logits.cols));
      read(all.data(), logits);
      host_candidates(all, edits, count, out);
      return;
    }
    const auto bytes = static_cast<int64_t>(edits.size_bytes());
    if (bytes > edit_bytes_) {
      sync();
      const int64_t room = std::max<int64_t>(2 * bytes, 4096);
      edit_bytes_ = 0;  // should there be no memory for it
      edits_ = device_.allocate_pinned(room);
      edits_on_card_ = device_.allocate(room);
      edit_bytes_ = room;
    }
    if (const int64_t needed = candidate_bytes(logits.cols); needed > candidate_bytes_) {
      candidate_work_ = device_.allocate(needed);
      candidate_bytes_ = needed;
    }
    if (bytes > 0) {
      std::copy(edits.begin(), edits.end(), static_cast<LogitEdit*>(edits_.get()));
      write(edits_on_card_.get(), edits_.get(), bytes);
    }
    edit_logits(device_, logits.f32(), static_cast<const LogitEdit*>(edits_on_card_.get()),
                static_cast<int64_t>(edits.size()));
    best_candidates(device_, logits.f32(), logits.cols, count, candidate_work_.get(),
                    static_cast<Candidate*>(found_on_card_.get()));
    check(cudaMemcpyAsync(found_.get(), found_on_card_.get(), static_cast<size_t>(count) * sizeof(Candidate),
                          cudaMemcpyDeviceToHost, device_.stream()),
          "copying from the card");
    sync();
    const auto* found = static_cast<const Candidate*>(found_.get());
    out.assign(found, found + count);
  }

  void embed(Tensor y, Weight table, const StepPlan& plan, float scale) override {
    const PlanView& v = on_card(plan);
    products_.forget();
    products_.embed(y, table, v.token, v.rows, scale);
  }

  void place_media(Tensor y, const StepPlan& plan) override {
    const PlanView& v = on_card(plan);
    if (v.media_rows > 0) move_rows(card(), y, v.media_row, plan.media, nullptr, v.media_rows);
  }

  void rope_angles(RopeTable out, Weight frequency, const StepPlan& plan) override {
    cuda::rope_angles(device_, out, frequency, on_card(plan));
  }

  void norm(Tensor y, Tensor x, Weight w, float eps) override {
    cuda::norm(device_, y, x, floats(w), eps, new_digits(y));
  }

  void layer_norm(Tensor y, Tensor x, Weight shift, Weight w, Weight bias, float eps) override {
    cuda::layer_norm(card(), y, x, floats(shift), floats(w), floats(bias), eps);
  }

  void add_positions(Tensor y, Weight table, std::span<const int32_t> xy) override {
    const auto bytes = static_cast<int64_t>(xy.size_bytes());
    const std::shared_ptr<void> on_card = device_.allocate(bytes, false);
    write(on_card.get(), xy.data(), bytes);
    cuda::add_positions(card(), y, floats(table), static_cast<const int32_t*>(on_card.get()));
    sync();  // before the memory goes
  }

  void linear(Tensor y, Tensor x, Weight w) override {
    by_rows(y, x, [&](Tensor some_y, Tensor some_x) { products_.linear(some_y, some_x, w); });
  }
  void gated_linear(Tensor y, Tensor x, Weight w) override {
    by_rows(y, x, [&](Tensor some_y, Tensor some_x) { products_.gated_linear(some_y, some_x, w); });
  }
  void logits(Tensor y, Tensor x, Weight w, float cap) override {
    by_rows(y, x, [&](Tensor some_y, Tensor some_x) { products_.logits(some_y, some_x, w, cap); });
  }

  void rope_store(Tensor q, Tensor qkv, const HeadShape& shape, Weight q_norm, Weight k_norm, RopeTable rope,
                  const StepPlan& plan, const KvLayer& kv) override {
    cuda::rope_store(card(), q, qkv, shape, floats(q_norm), floats(k_norm), rope, on_card(plan), kv);
  }

  void attend(Tensor y, Tensor q, const HeadShape& shape, const KvLayer& kv, const StepPlan& plan) override {
    const PlanView& v = on_card(plan);
    if (!has_tensor_attention(shape, kv.type)) return attend_any(card(), y, q, shape, kv, v);
    if (const int64_t needed = AttentionSplits::bytes(device_, shape); needed > split_bytes_) {
      splits_.push_back(device_.allocate(needed));  // recorded steps go on using the old one
      split_bytes_ = needed;
    }
    if (v.rows <= kMatvecRows)
      return attend_few(device_, y, q, shape, kv, v, {splits_.back().get()}, device_.shared_limit(),
                        new_digits(y));
    products_.forget();
    for (const RowRange& range : attention_ranges(plan.sequence)) {
      PlanView some = v;
      some.rows = range.rows;
      for (const int32_t** array : {&some.position, &some.sequence, &some.span_end, &some.fresh})
        *array += range.first;
      const Tensor some_y = rows_of(y, range.first, range.rows), some_q = rows_of(q, range.first, range.rows);
      if (range.many)
        attend_many(device_, some_y, some_q, shape, kv, some, device_.shared_limit());
      else
        attend_few(device_, some_y, some_q, shape, kv, some, {splits_.back().get()}, device_.shared_limit(),
                   {});
    }
  }

  void residual_norm(Tensor x, Tensor y, Weight w_post, float scale, Tensor h, Weight w_next,
                     float eps) override {
    cuda::residual_norm(device_, x, y, floats(w_post), scale, h, floats(w_next), eps, new_digits(h));
  }

  void take_rows(Tensor y, Tensor x, const StepPlan& plan) override {
    const PlanView& v = on_card(plan);
    move_rows(card(), y, nullptr, x, v.logit_row, v.logit_rows);
  }

  void join(Tensor y, Tensor a, Tensor b, const StepPlan& plan) override {
    const PlanView& v = on_card(plan);
    cuda::join(card(), y, a, b, v.logit_row, v.logit_rows);
  }

  void sync() override {
    device_.synchronize();
    staged_ = false;
  }

  int64_t weight_bytes() const override { return products_.weight_bytes() + plain_bytes_; }
  std::string describe() const override {
    return fmt::format("cuda {}, {} activations, {}", device_.name(), exact_ ? "float32" : "bfloat16",
                       products_.describe());
  }

 private:
  // For operations that store rows without digits.
  const Device& card() {
    products_.forget();
    return device_;
  }

  // For those that store y with its digits.
  DigitsOut new_digits(Tensor y) {
    products_.forget();
    return products_.digits_for(y);
  }

  // The plan of the step at hand; a single operation outside of steps brings its own.
  const PlanView& on_card(const StepPlan& plan) {
    if (in_step_) return view_;
    if (staged_) sync();
    view_ = many_.stage(plan);
    many_.upload();
    staged_ = true;
    return view_;
  }

  // Slices of what was reserved (a long sound has more rows than a step). Float32 rows in the numbers for
  // which Products does not round them.
  template <typename Product>
  void by_rows(Tensor y, Tensor x, const Product& product) {
    if (reserved_rows_ == 0) reserve(std::min<int64_t>(x.rows, kSliceRows));
    const int64_t most = x.dtype == DType::kF32 ? kMatvecRows : std::max(reserved_rows_, kMatvecRows);
    for (int64_t first = 0; first < x.rows; first += most) {
      const int64_t count = std::min(most, x.rows - first);
      product(rows_of(y, first, count), rows_of(x, first, count));
    }
  }

  static constexpr int64_t kSliceRows = 2048;

  bool exact_;
  Device device_;
  Products products_;
  PlanBuffers few_, many_;  // few_: of recorded steps, never moved
  Recorder recorder_;
  PlanView view_;
  bool in_step_ = false, staged_ = false;  // staged_: page-locked memory may still be read
  int64_t reserved_rows_ = 0, plain_bytes_ = 0, split_bytes_ = 0, edit_bytes_ = 0, candidate_bytes_ = 0;
  std::vector<std::shared_ptr<void>> plain_, splits_;
  std::shared_ptr<void> edits_, edits_on_card_, candidate_work_, found_, found_on_card_;
};

}  // namespace

Card make_card(const CudaOptions& options) {
  auto card = std::make_unique<CudaBackend>(options);
  Device* device = &card->device();
  return {std::move(card), device};
}

}  // namespace tessera::cuda

namespace tessera {

std::string why_no_cuda() {
  return cuda::why_no_gpu();
}

CudaCard cuda_card(int index) {
  const cuda::Device device(index);
  return {device.name(), device.free_bytes()};
}

std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options) {
  if (options.gpus == 1) return std::move(cuda::make_card(options).backend);
  std::vector<std::unique_ptr<Backend>> ranks;
  std::vector<cuda::Device*> devices;
  CudaOptions own = options;
  for (own.device = options.device; own.device < options.device + options.gpus; ++own.device) {
    cuda::Card card = cuda::make_card(own);
    ranks.push_back(std::move(card.backend));
    devices.push_back(card.device);
  }
  return make_group_backend(std::move(ranks), cuda::make_card_sums(devices));
}

}  // namespace tessera
