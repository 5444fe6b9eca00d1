// The CPU backend: cuts each operation into items for the thread pool and calls the kernels of the chosen
// instruction set. What an item computes does not depend on which thread takes it, nor on how the work is
// cut.
#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/attention.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/tiling.h"
#include "backend/cpu/weights.h"
#include "backend/host_memory.h"
#include "base/cpu_topology.h"
#include "base/error.h"
#include "base/memory_lock.h"

namespace tessera {
namespace cpu {
namespace {

const float* floats(Weight w) {
  return static_cast<const float*>(w.data);
}
const PackedWeight& packed(Weight w) {
  return *static_cast<const PackedWeight*>(w.data);
}

class CpuBackend final : public Backend {
 public:
  CpuBackend(int threads, const std::string& isa, std::unique_ptr<PackFile> packed,
             const CpuResources& resources)
      : kernels_(choose_kernels(isa)),
        placement_(place_threads(read_cpu_topology(), threads, resources.pin)),
        lock_memory_(resources.lock_memory),
        pool_(threads, placement_),
        pack_file_(std::move(packed)),
        buffers_(static_cast<size_t>(pool_.threads())) {}

  Weight pack(const WeightSource& source) override {
    const InterleavedMemory interleaved(placement_.memory_nodes);  // the workers have it, too
    weights_.push_back(pack_weight(source, pool_, [&](int64_t bytes) {
      return source.keep ? hold_packed(bytes) : Held{static_cast<uint8_t*>(hold(bytes)), false};
    }));
    const PackedWeight& w = weights_.back();
    return {&w, w.rows, w.cols, w.segments.front().dtype};
  }

  Weight pack_plain(const WeightSource& source) override {
    void* data = hold(source.rows() * source.cols * 4);
    source.read(0, source.rows(), static_cast<float*>(data));
    return {data, source.rows(), source.cols, DType::kF32};
  }

  std::shared_ptr<void> allocate(int64_t bytes) override { return allocate_host(bytes); }

  void weights_done() override {
    if (pack_file_ != nullptr && pack_file_fits_ && !pack_file_done_) pack_file_->finish();
    pack_file_done_ = true;
  }

  void embed(Tensor y, Weight table, const StepPlan& plan, float scale) override {
    for_rows(plan.rows(), [&](int64_t r) {
      if (plan.token[r] >= 0)
        unpack_row(packed(table), plan.token[r], scale, y.row(r));
      else
        std::fill_n(y.row(r), y.cols, 0.0F);
    });
  }

  void place_media(Tensor y, const StepPlan& plan) override {
    for (size_t i = 0; i < plan.media_row.size(); ++i)
      std::copy_n(plan.media.row(static_cast<int64_t>(i)), y.cols, y.row(plan.media_row[i]));
  }

  void rope_angles(RopeTable out, Weight frequency, const StepPlan& plan) override {
    for_rows(plan.rows(), [&](int64_t r) {
      for (int64_t i = 0; i < frequency.cols; ++i) {
        const float angle = static_cast<float>(plan.turns()[r]) * floats(frequency)[i];
        out.cos.row(r)[i] = std::cos(angle);
        out.sin.row(r)[i] = std::sin(angle);
      }
    });
  }

  void norm(Tensor y, Tensor x, Weight w, float eps) override {
    for_rows(x.rows, [&](int64_t r) { kernels_.rms_norm(y.row(r), x.row(r), floats(w), x.cols, eps); });
  }

  void layer_norm(Tensor y, Tensor x, Weight shift, Weight w, Weight bias, float eps) override {
    for_rows(x.rows, [&](int64_t r) {
      kernels_.layer_norm(y.row(r), x.row(r), floats(shift), floats(w), floats(bias), x.cols, eps);
    });
  }

  void add_positions(Tensor y, Weight table, std::span<const int32_t> xy) override {
    for_rows(y.rows, [&](int64_t r) {
      const float* px = floats(table) + int64_t{xy[2 * r]} * 2 * y.cols;
      const float* py = floats(table) + (int64_t{xy[2 * r + 1]} * 2 + 1) * y.cols;
      for (int64_t c = 0; c < y.cols; ++c) y.row(r)[c] += px[c] + py[c];
    });
  }

  void linear(Tensor y, Tensor x, Weight w) override {
    product(x, w, [&](int64_t first, int64_t count, const float* tile, int64_t stride) {
      for (int64_t r = 0; r < x.rows; ++r) std::copy_n(tile + r * stride, count, y.row(r) + first);
    });
  }

  // Gate and up panels of the same outputs are computed by one item, one after the other, and joined in its
  // tile. They are one segment, or two of the same size.
  void gated_linear(Tensor y, Tensor x, Weight w) override {
    const Segment &gates = packed(w).segments.front(), &ups = packed(w).segments.back();
    const int64_t panels = w.rows / 2 / kPanel, step = item_panels(gates, panels, x.rows);
    const int64_t first_up = &gates == &ups ? panels : 0;
    const void* gate_in = prepare(x, gates, 0);
    const void* up_in = ups.shape.layout == gates.shape.layout ? gate_in : prepare(x, ups, 1);
    pool_.run((panels + step - 1) / step, [&](int64_t item, int worker) {
      const int64_t first = item * step, count = std::min(step, panels - first), stride = count * kPanel;
      float* gate = buffer(worker, 2 * x.rows * stride);
      float* up = gate + x.rows * stride;
      multiply(x, gate_in, gates, first, count, gate);
      multiply(x, up_in, ups, first_up + first, count, up);
      const int64_t cols = std::min(stride, y.cols - first * kPanel);
      for (int64_t r = 0; r < x.rows; ++r)
        kernels_.gelu_mul(y.row(r) + first * kPanel, gate + r * stride, up + r * stride, cols);
    });
  }

  void rope_store(Tensor q, Tensor qkv, const HeadShape& s, Weight q_norm, Weight k_norm, RopeTable rope,
                  const StepPlan& plan, const KvLayer& kv) override {
    for_rows(plan.rows(), [&](int64_t r) {
      const int64_t hd = s.head_dim, j = plan.position[r] % kKvBlock;
      const float *in = qkv.row(r), *cos = rope.cos.row(r), *sin = rope.sin.row(r);
      for (int64_t h = 0; h < s.q_heads; ++h) {
        float* out = q.row(r) + h * hd;
        kernels_.rms_norm(out, in + h * hd, floats(q_norm), hd, s.norm_eps);
        kernels_.rotate(out, cos, sin, hd);
      }
      const float* k0 = in + s.q_heads * hd;
      const float* v0 = s.v_is_k ? k0 : k0 + s.kv_heads * hd;
      thread_local std::vector<float> key, value;
      key.resize(static_cast<size_t>(hd));
      value.resize(static_cast<size_t>(hd));
      for (int64_t h = 0; s.own_kv && h < s.kv_heads; ++h) {
        const int64_t at = kv.block_offset(plan.sequence[r], plan.position[r], h);
        kernels_.rms_norm(value.data(), v0 + h * hd, nullptr, hd, s.norm_eps);
        kernels_.rms_norm(key.data(), k0 + h * hd, floats(k_norm), hd, s.norm_eps);
        kernels_.rotate(key.data(), cos, sin, hd);
        store_kv(kv.type, kv.k + at, kv.v + at, j, hd, key.data(), value.data());
      }
    });
  }

  void attend(Tensor y, Tensor q, const HeadShape& s, const KvLayer& kv, const StepPlan& plan) override {
    attention_.run(y, q, s, kv, plan);
  }

  void residual_norm(Tensor x, Tensor y, Weight w_post, float scale, Tensor h, Weight w_next,
                     float eps) override {
    for_rows(x.rows, [&](int64_t r) {
      kernels_.residual(x.row(r), y.row(r), floats(w_post), scale, x.cols, eps);
      kernels_.rms_norm(h.row(r), x.row(r), floats(w_next), x.cols, eps);
    });
  }

  void take_rows(Tensor y, Tensor x, const StepPlan& plan) override {
    for (int64_t i = 0; i < plan.logit_rows(); ++i) std::copy_n(x.row(plan.logit_row[i]), x.cols, y.row(i));
  }

  void join(Tensor y, Tensor a, Tensor b, const StepPlan& plan) override {
    for (int64_t i = 0; i < plan.logit_rows(); ++i)
      std::copy_n(b.row(plan.logit_row[i]), b.cols, std::copy_n(a.row(i), a.cols, y.row(i)));
  }

  void logits(Tensor y, Tensor x, Weight w, float cap) override {
    product(x, w, [&](int64_t first, int64_t count, float* tile, int64_t stride) {
      for (int64_t r = 0; r < x.rows; ++r) {
        if (cap != 0) kernels_.softcap(tile + r * stride, count, cap);
        std::copy_n(tile + r * stride, count, y.row(r) + first);
      }
    });
  }

  void sync() override {}
  int64_t weight_bytes() const override { return weight_bytes_; }
  std::string describe() const override {
    return fmt::format("cpu {}, {} threads", kernels_.name, pool_.threads());
  }

 private:
  void* hold(int64_t bytes) {
    memory_.push_back(allocate_host(bytes));
    if (lock_memory_) lock_memory(memory_.back().get(), bytes);
    weight_bytes_ += bytes;
    return memory_.back().get();
  }

  Held hold_packed(int64_t bytes) {
    if (pack_file_done_) return {static_cast<uint8_t*>(hold(bytes)), false};
    if (pack_file_ != nullptr)
      if (uint8_t* data = pack_file_->take(bytes)) {
        if (lock_memory_) lock_memory(data, bytes);
        weight_bytes_ += bytes;
        return {data, pack_file_->filled()};
      }
    pack_file_fits_ = pack_file_ == nullptr;  // it has no more room: useless to the next start
    return {static_cast<uint8_t*>(hold(bytes)), false};
  }

  // Few rows are cheaper on one thread than a wake-up of the others.
  template <typename Body>
  void for_rows(int64_t rows, const Body& body) {
    constexpr int64_t kRowsPerItem = 8;
    if (rows <= kRowsPerItem) {
      for (int64_t r = 0; r < rows; ++r) body(r);
      return;
    }
    pool_.run((rows + kRowsPerItem - 1) / kRowsPerItem, [&](int64_t item, int) {
      for (int64_t r = item * kRowsPerItem; r < std::min(rows, (item + 1) * kRowsPerItem); ++r) body(r);
    });
  }

  // Panels of one item: whole tiles of the kernels, few enough that every thread gets several.
  int64_t item_panels(const Segment& s, int64_t panels, int64_t rows) const {
    const int64_t fair = std::max<int64_t>(1, panels / (int64_t{4} * pool_.threads()));
    if (rows == 1) return std::min(fair, kStreamPanels);
    const int64_t tile = s.dtype == DType::kQuant ? kQuantTilePanels : kFloatTilePanels;
    const int64_t most = kernels_.split_row != nullptr && s.dtype == DType::kBF16 ? kTermPanels : 2 * tile;
    return fair < tile ? fair : std::min(fair / tile * tile, most);
  }

  // The rows of x as the kernels multiply them with this segment: chunks of bytes, bfloat16 terms, or
  // nullptr: the floats themselves.
  const void* prepare(Tensor x, const Segment& s, int slot) {
    const bool quant = s.dtype == DType::kQuant;
    if (!quant && (s.dtype != DType::kBF16 || kernels_.split_row == nullptr)) return nullptr;
    const int64_t groups = quant ? (x.cols + kChunk - 1) / kChunk : (x.cols + kTermInputs - 1) / kTermInputs;
    const int64_t bytes =
        groups * x.rows * (quant ? static_cast<int64_t>(sizeof(ActChunk)) : kTermValues * int64_t{2});
    Activations& a = activations_[static_cast<size_t>(slot)];
    if (a.bytes < bytes) a = {allocate_host(bytes), bytes};
    if (quant) {
      auto* out = static_cast<ActChunk*>(a.memory.get());
      for_rows(x.rows,
               [&](int64_t r) { kernels_.quantize_row(out + r, x.rows, x.row(r), x.cols, s.shape.layout); });
    } else {
      auto* out = static_cast<uint16_t*>(a.memory.get());
      for_rows(x.rows, [&](int64_t r) {
        kernels_.split_row(out + r * kTermValues, x.rows * kTermValues, x.row(r), x.cols);
      });
    }
    return a.memory.get();
  }

  // `in`: what prepare returned for a segment of this form.
  void multiply(Tensor x, const void* in, const Segment& s, int64_t first_panel, int64_t panels,
                float* tile) const {
    const uint8_t* data = s.data + first_panel * s.panel_bytes;
    if (s.dtype == DType::kQuant)
      kernels_.quant_gemm({.x = static_cast<const ActChunk*>(in),
                           .rows = x.rows,
                           .shape = &s.shape,
                           .w = data,
                           .panels = panels,
                           .tile = tile});
    else
      kernels_.gemm({.x = x.f32(),
                     .rows = x.rows,
                     .k = x.cols,
                     .w = data,
                     .dtype = s.dtype,
                     .panels = panels,
                     .tile = tile,
                     .terms = static_cast<const uint16_t*>(in)});
  }

  // Calls done(first output, outputs, tile, row stride of the tile) for every item's finished [rows, outputs]
  // tile.
  template <typename Done>
  void product(Tensor x, Weight w, const Done& done) {
    TS_CHECK(x.cols == w.cols, "product of [{}, {}] with a weight of {} inputs", x.rows, x.cols, w.cols);
    for (const Segment& s : packed(w).segments) {
      const void* in = prepare(x, s, 0);
      const int64_t step = item_panels(s, s.panels(), x.rows);
      pool_.run((s.panels() + step - 1) / step, [&](int64_t item, int worker) {
        const int64_t first = item * step, count = std::min(step, s.panels() - first);
        float* tile = buffer(worker, x.rows * count * kPanel);
        multiply(x, in, s, first, count, tile);
        done(s.first_row + first * kPanel, std::min(count * kPanel, s.rows - first * kPanel), tile,
             count * kPanel);
      });
    }
  }

  float* buffer(int worker, int64_t values) {
    std::vector<float>& b = buffers_[static_cast<size_t>(worker)];
    if (static_cast<int64_t>(b.size()) < values) b.resize(static_cast<size_t>(values));
    return b.data();
  }

  const Kernels& kernels_;
  const ThreadPlacement placement_;
  const bool lock_memory_;
  ThreadPool pool_;
  std::unique_ptr<PackFile> pack_file_;
  bool pack_file_fits_ = true, pack_file_done_ = false;  // done: what is packed later is another model's
  std::vector<std::vector<float>> buffers_;  // one for each worker: product tiles, attention scores
  struct Activations {
    std::shared_ptr<void> memory;
    int64_t bytes = 0;
  };
  Attention attention_{kernels_, pool_};
  std::array<Activations, 2> activations_;
  std::deque<PackedWeight> weights_;  // addresses stay
  std::vector<std::shared_ptr<void>> memory_;
  int64_t weight_bytes_ = 0;
};

}  // namespace
}  // namespace cpu

std::unique_ptr<Backend> make_cpu_backend(int threads, const std::string& isa,
                                          std::unique_ptr<PackFile> packed, const CpuResources& resources) {
  if (threads <= 0) threads = read_cpu_topology().threads();
  return std::make_unique<cpu::CpuBackend>(threads, isa, std::move(packed), resources);
}

}  // namespace tessera
