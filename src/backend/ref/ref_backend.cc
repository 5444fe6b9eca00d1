// The oracle: each operation as the model's description states it, one value at a time. Float32 values, sums
// in double so that an error found by comparing with it is the other side's.
#include <cmath>
#include <limits>
#include <vector>

#include "backend/backend.h"
#include "backend/host_memory.h"
#include "base/error.h"

namespace tessera {
namespace {

float dot(const float* a, const float* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += double{a[i]} * b[i];
  return static_cast<float>(sum);
}

// y = x / rms(x) * w; w may be null. y may be x.
void rms_norm(float* y, const float* x, const float* w, int64_t n, float eps) {
  const float scale =
      static_cast<float>(1.0 / std::sqrt(double{dot(x, x, n)} / static_cast<double>(n) + eps));
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] * scale * (w != nullptr ? w[i] : 1.0F);
}

float gelu_tanh(float z) {
  const double u = 0.7978845608028654 * (z + 0.044715 * z * z * z);
  return static_cast<float>(0.5 * z * (1 + std::tanh(u)));
}

const float* floats(Weight w) {
  return static_cast<const float*>(w.data);
}

// Pairs (i, i + n/2): NeoX. cos and sin have n/2 entries.
void rotate(float* x, const float* cos, const float* sin, int64_t n) {
  for (int64_t i = 0, h = n / 2; i < h; ++i) {
    const float a = x[i], b = x[i + h];
    x[i] = a * cos[i] - b * sin[i];
    x[i + h] = b * cos[i] + a * sin[i];
  }
}

class RefBackend final : public Backend {
 public:
  Weight pack(const WeightSource& source) override { return pack_plain(source); }

  Weight pack_plain(const WeightSource& source) override {
    const int64_t bytes = source.rows() * source.cols * 4;
    memory_.push_back(allocate_host(bytes));
    weight_bytes_ += bytes;
    source.read(0, source.rows(), static_cast<float*>(memory_.back().get()));
    return {memory_.back().get(), source.rows(), source.cols, DType::kF32};
  }

  std::shared_ptr<void> allocate(int64_t bytes) override { return allocate_host(bytes); }

  void embed(Tensor y, Weight table, const StepPlan& plan, float scale) override {
    for (int64_t r = 0; r < plan.rows(); ++r) {
      const int64_t t = plan.token[r];
      for (int64_t c = 0; c < y.cols; ++c)
        y.row(r)[c] = t >= 0 ? floats(table)[t * y.cols + c] * scale : 0.0F;
    }
  }

  void place_media(Tensor y, const StepPlan& plan) override {
    for (size_t i = 0; i < plan.media_row.size(); ++i)
      for (int64_t c = 0; c < y.cols; ++c)
        y.row(plan.media_row[i])[c] = plan.media.row(static_cast<int64_t>(i))[c];
  }

  void rope_angles(RopeTable out, Weight frequency, const StepPlan& plan) override {
    for (int64_t r = 0; r < plan.rows(); ++r)
      for (int64_t i = 0; i < frequency.cols; ++i) {
        const float angle = static_cast<float>(plan.turns()[r]) * floats(frequency)[i];
        out.cos.row(r)[i] = std::cos(angle);
        out.sin.row(r)[i] = std::sin(angle);
      }
  }

  void norm(Tensor y, Tensor x, Weight w, float eps) override {
    for (int64_t r = 0; r < x.rows; ++r) rms_norm(y.row(r), x.row(r), floats(w), x.cols, eps);
  }

  void layer_norm(Tensor y, Tensor x, Weight shift, Weight w, Weight bias, float eps) override {
    std::vector<double> v(static_cast<size_t>(x.cols));
    for (int64_t r = 0; r < x.rows; ++r) {
      double mean = 0, variance = 0;
      for (int64_t i = 0; i < x.cols; ++i)
        mean += v[i] = double{x.row(r)[i]} + (shift ? floats(shift)[i] : 0.0F);
      mean /= static_cast<double>(x.cols);
      for (double e : v) variance += (e - mean) * (e - mean);
      const double scale = 1 / std::sqrt(variance / static_cast<double>(x.cols) + eps);
      for (int64_t i = 0; i < x.cols; ++i)
        y.row(r)[i] = static_cast<float>((v[i] - mean) * scale * floats(w)[i] + floats(bias)[i]);
    }
  }

  void add_positions(Tensor y, Weight table, std::span<const int32_t> xy) override {
    for (int64_t r = 0; r < y.rows; ++r)
      for (int64_t c = 0; c < y.cols; ++c)
        y.row(r)[c] +=
            floats(table)[xy[2 * r] * 2 * y.cols + c] + floats(table)[(xy[2 * r + 1] * 2 + 1) * y.cols + c];
  }

  void linear(Tensor y, Tensor x, Weight w) override {
    for (int64_t r = 0; r < x.rows; ++r)
      for (int64_t o = 0; o < w.rows; ++o) y.row(r)[o] = dot(x.row(r), floats(w) + o * w.cols, w.cols);
  }

  void gated_linear(Tensor y, Tensor x, Weight w) override {
    const float* gate = floats(w);
    const float* up = gate + w.rows / 2 * w.cols;
    for (int64_t r = 0; r < x.rows; ++r)
      for (int64_t o = 0; o < y.cols; ++o)
        y.row(r)[o] =
            gelu_tanh(dot(x.row(r), gate + o * w.cols, w.cols)) * dot(x.row(r), up + o * w.cols, w.cols);
  }

  void rope_store(Tensor q, Tensor qkv, const HeadShape& s, Weight q_norm, Weight k_norm, RopeTable rope,
                  const StepPlan& plan, const KvLayer& kv) override {
    TS_CHECK(kv.type == KvType::kF32, "ref keeps K and V in float32");
    const int64_t hd = s.head_dim;
    std::vector<float> k(hd), v(hd);
    for (int64_t r = 0; r < plan.rows(); ++r) {
      const float* in = qkv.row(r);
      for (int64_t h = 0; h < s.q_heads; ++h) {
        rms_norm(q.row(r) + h * hd, in + h * hd, floats(q_norm), hd, s.norm_eps);
        rotate(q.row(r) + h * hd, rope.cos.row(r), rope.sin.row(r), hd);
      }
      const float* k0 = in + s.q_heads * hd;
      const float* v0 = s.v_is_k ? k0 : k0 + s.kv_heads * hd;
      for (int64_t h = 0; s.own_kv && h < s.kv_heads; ++h) {
        rms_norm(k.data(), k0 + h * hd, floats(k_norm), hd, s.norm_eps);
        rotate(k.data(), rope.cos.row(r), rope.sin.row(r), hd);
        rms_norm(v.data(), v0 + h * hd, nullptr, hd, s.norm_eps);
        const int64_t at = kv.block_offset(plan.sequence[r], plan.position[r], h),
                      j = plan.position[r] % kKvBlock;
        for (int64_t d = 0; d < hd; ++d) {
          reinterpret_cast<float*>(kv.k + at)[d * kKvBlock + j] = k[d];
          reinterpret_cast<float*>(kv.v + at)[j * hd + d] = v[d];
        }
      }
    }
  }

  void attend(Tensor y, Tensor q, const HeadShape& s, const KvLayer& kv, const StepPlan& plan) override {
    const int64_t hd = s.head_dim;
    std::vector<double> p, sum(hd);
    for (int64_t r = 0; r < plan.rows(); ++r)
      for (int64_t h = 0; h < s.q_heads; ++h) {
        const int64_t group = h / (s.q_heads / s.kv_heads);
        const int64_t first = s.window > 0 ? std::max<int64_t>(0, plan.position[r] - s.window + 1) : 0;
        const int64_t last = s.window > 0 ? plan.span_end[r] : plan.position[r];
        double top = -std::numeric_limits<double>::infinity(), total = 0;
        p.assign(last - first + 1, 0);
        for (int64_t j = first; j <= last; ++j) {
          const float* k =
              reinterpret_cast<const float*>(kv.k + kv.block_offset(plan.sequence[r], j, group)) +
              j % kKvBlock;
          double score = 0;
          for (int64_t d = 0; d < hd; ++d) score += double{q.row(r)[h * hd + d]} * k[d * kKvBlock];
          top = std::max(top, p[j - first] = score);
        }
        for (double& e : p) total += e = std::exp(e - top);
        sum.assign(hd, 0);
        for (int64_t j = first; j <= last; ++j) {
          const float* v =
              reinterpret_cast<const float*>(kv.v + kv.block_offset(plan.sequence[r], j, group)) +
              j % kKvBlock * hd;
          for (int64_t d = 0; d < hd; ++d) sum[d] += p[j - first] * v[d];
        }
        for (int64_t d = 0; d < hd; ++d) y.row(r)[h * hd + d] = static_cast<float>(sum[d] / total);
      }
  }

  void residual_norm(Tensor x, Tensor y, Weight w_post, float scale, Tensor h, Weight w_next,
                     float eps) override {
    std::vector<float> branch(x.cols);
    for (int64_t r = 0; r < x.rows; ++r) {
      rms_norm(branch.data(), y.row(r), floats(w_post), x.cols, eps);
      for (int64_t i = 0; i < x.cols; ++i) x.row(r)[i] = (x.row(r)[i] + branch[i]) * scale;
      rms_norm(h.row(r), x.row(r), floats(w_next), x.cols, eps);
    }
  }

  void take_rows(Tensor y, Tensor x, const StepPlan& plan) override {
    for (int64_t i = 0; i < plan.logit_rows(); ++i)
      for (int64_t c = 0; c < x.cols; ++c) y.row(i)[c] = x.row(plan.logit_row[i])[c];
  }

  void join(Tensor y, Tensor a, Tensor b, const StepPlan& plan) override {
    for (int64_t i = 0; i < plan.logit_rows(); ++i) {
      for (int64_t c = 0; c < a.cols; ++c) y.row(i)[c] = a.row(i)[c];
      for (int64_t c = 0; c < b.cols; ++c) y.row(i)[a.cols + c] = b.row(plan.logit_row[i])[c];
    }
  }

  void logits(Tensor y, Tensor x, Weight w, float cap) override {
    linear(y, x, w);
    for (int64_t i = 0; cap != 0 && i < y.rows * y.cols; ++i) y.f32()[i] = cap * std::tanh(y.f32()[i] / cap);
  }

  void sync() override {}
  int64_t weight_bytes() const override { return weight_bytes_; }
  std::string describe() const override { return "ref (scalar float32)"; }

 private:
  std::vector<std::shared_ptr<void>> memory_;
  int64_t weight_bytes_ = 0;
};

}  // namespace

std::unique_ptr<Backend> make_ref_backend() {
  return std::make_unique<RefBackend>();
}

}  // namespace tessera
