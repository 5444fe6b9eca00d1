// Every operation of the cpu backend, on every instruction set of this machine, against ref. Seeds are fixed
// and printed with a failure; shapes are the edges of tiles, panels, vectors and KV blocks.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "backend/backend.h"
#include "base/error.h"
#include "support/isas.h"

namespace tessera {
namespace {

struct Values {
  std::vector<float> v;
  int64_t rows, cols;
  Tensor tensor() { return {v.data(), rows, cols, DType::kF32}; }
};

class Ops : public testing::TestWithParam<std::string> {
 protected:
  void seed(uint32_t s) {
    random_.seed(s);
    seed_ = s;
  }
  Values values(int64_t rows, int64_t cols, float scale = 1) {
    std::normal_distribution<float> normal(0, scale);
    Values out{std::vector<float>(static_cast<size_t>(rows * cols)), rows, cols};
    for (float& f : out.v) f = normal(random_);
    return out;
  }
  Values poison(int64_t rows, int64_t cols) {  // an element that is not written stays NaN and fails
    return {std::vector<float>(static_cast<size_t>(rows * cols), NAN), rows, cols};
  }
  static WeightSource source(const Values& v, DType stored) {
    const auto read = [&v](int64_t first, int64_t count, float* out) {
      std::copy_n(v.v.data() + first * v.cols, count * v.cols, out);
    };
    return {.cols = v.cols, .parts = {{.rows = v.rows, .stored = stored, .read = read}}};
  }
  static void round_bf16(Values& v) {
    for (float& f : v.v) f = bf16_to_f32(f32_to_bf16(f));
  }
  // Relative L2 error; NaN fails. `typical`: size of a value before cancellation, so that one small sum of
  // large products is not measured against itself.
  void expect_close(const Values& found, const Values& wanted, double limit, const std::string& what,
                    double typical = 0) {
    double error = 0, norm = typical * typical * static_cast<double>(wanted.v.size());
    for (size_t i = 0; i < wanted.v.size(); ++i) {
      error += (double{found.v[i]} - wanted.v[i]) * (double{found.v[i]} - wanted.v[i]);
      norm += double{wanted.v[i]} * wanted.v[i];
    }
    EXPECT_TRUE(std::sqrt(error) <= limit * std::sqrt(norm) + 1e-12)
        << what << ", seed " << seed_ << ": relative error " << std::sqrt(error / norm);
  }

  std::unique_ptr<Backend> ref_ = make_ref_backend(), cpu_ = make_cpu_backend(3, GetParam());
  std::mt19937 random_;
  uint32_t seed_ = 0;
};

TEST_P(Ops, Linear) {
  uint32_t s = 1;
  for (const int64_t rows : {1, 2, 3, 8, 17, 129})
    for (const int64_t cols : {1, 15, 256, 1027, 3840})
      for (const int64_t outputs : {1, 16, 47, 130})
        for (const DType stored : {DType::kBF16, DType::kF32}) {
          if (rows * cols * outputs > 20'000'000) continue;
          seed(s++);
          Values x = values(rows, cols), w = values(outputs, cols, 0.05F);
          if (stored == DType::kBF16) round_bf16(w);
          Values a = poison(rows, outputs), b = poison(rows, outputs);
          ref_->linear(a.tensor(), x.tensor(), ref_->pack(source(w, stored)));
          cpu_->linear(b.tensor(), x.tensor(), cpu_->pack(source(w, stored)));
          expect_close(b, a, 3e-6,
                       fmt::format("linear {}x{}x{} type {}", rows, cols, outputs, static_cast<int>(stored)),
                       0.05 * std::sqrt(cols));
        }
}

TEST_P(Ops, LinearRowsAreIndependent) {
  seed(77);
  Values x = values(29, 515), w = values(100, 515), all = poison(29, 100), one = poison(1, 100);
  for (const DType stored : {DType::kBF16, DType::kF32}) {
    const Weight packed = cpu_->pack(source(w, stored));
    cpu_->linear(all.tensor(), x.tensor(), packed);
    for (int64_t r = 0; r < 29; ++r) {
      cpu_->linear(one.tensor(), {x.tensor().row(r), 1, 515, DType::kF32}, packed);
      EXPECT_EQ(0, std::memcmp(one.v.data(), all.tensor().row(r), 100 * sizeof(float))) << "row " << r;
    }
  }
}

TEST_P(Ops, GatedLinearAndLogits) {
  uint32_t s = 200;
  for (const int64_t rows : {1, 2, 3, 8, 17, 129})
    for (const int64_t ffn : {16, 40, 224}) {
      seed(s++);
      const int64_t padded = (ffn + 15) / 16 * 16, cols = 96;
      Values x = values(rows, cols, 3), w = values(2 * padded, cols);
      for (int64_t r = 0; r < 2 * padded; ++r)
        if (r % padded >= ffn) std::fill_n(w.tensor().row(r), cols, 0.0F);
      round_bf16(w);
      Values a = poison(rows, ffn), b = poison(rows, ffn);
      ref_->gated_linear(a.tensor(), x.tensor(), ref_->pack(source(w, DType::kBF16)));
      cpu_->gated_linear(b.tensor(), x.tensor(), cpu_->pack(source(w, DType::kBF16)));
      expect_close(b, a, 3e-6, fmt::format("gated_linear {} rows, ffn {}", rows, ffn));
      for (const float cap : {0.0F, 30.0F}) {
        Values la = poison(rows, 2 * padded), lb = poison(rows, 2 * padded);
        ref_->logits(la.tensor(), x.tensor(), ref_->pack(source(w, DType::kBF16)), cap);
        cpu_->logits(lb.tensor(), x.tensor(), cpu_->pack(source(w, DType::kBF16)), cap);
        expect_close(lb, la, 3e-6, fmt::format("logits {} rows, cap {}", rows, cap));
      }
    }
}

TEST_P(Ops, EmbedPlaceAndTakeRows) {
  seed(300);
  Values table = values(33, 70), media = values(2, 70), a = poison(4, 70), b = poison(4, 70);
  round_bf16(table);
  StepPlan plan;
  plan.token = {32, -1, 0, -1};
  plan.position = {0, 1, 2, 3};
  plan.sequence = {0, 0, 0, 0};
  plan.span_end = plan.position;
  plan.media = media.tensor();
  plan.media_row = {1, 3};
  plan.logit_row = {3, 0};
  for (auto& [be, y] : {std::pair<Backend*, Values*>{ref_.get(), &a}, {cpu_.get(), &b}}) {
    be->embed(y->tensor(), be->pack(source(table, DType::kBF16)), plan, 22.625F);
    be->place_media(y->tensor(), plan);
  }
  EXPECT_EQ(a.v, b.v);
  for (int64_t c = 0; c < 70; ++c) {
    EXPECT_EQ(b.tensor().row(0)[c], table.tensor().row(32)[c] * 22.625F);
    EXPECT_EQ(b.tensor().row(3)[c], media.tensor().row(1)[c]);  // never scaled
  }
  Values taken = poison(2, 70);
  cpu_->take_rows(taken.tensor(), b.tensor(), plan);
  EXPECT_EQ(0, std::memcmp(taken.v.data(), b.tensor().row(3), 70 * sizeof(float)));
}

TEST_P(Ops, Norms) {
  uint32_t s = 400;
  for (const int64_t rows : {1, 3, 17, 129})
    for (const int64_t cols : {1, 16, 33, 640, 3840}) {
      seed(s++);
      Values x = values(rows, cols, 4), y = values(rows, cols), w = values(1, cols), next = values(1, cols),
             bias = values(1, cols);
      const auto both = [&](const auto& op, const char* what, double limit) {
        Values xa = x, xb = x, ha = poison(rows, cols), hb = poison(rows, cols);
        op(*ref_, xa, ha);
        op(*cpu_, xb, hb);
        expect_close(hb, ha, limit, fmt::format("{} {}x{}", what, rows, cols));
        expect_close(xb, xa, limit, fmt::format("{} {}x{} (x)", what, rows, cols));
      };
      const auto plain = [&](Backend& be, const Values& v) { return be.pack_plain(source(v, DType::kF32)); };
      both([&](Backend& be, Values& in, Values& h) { be.norm(h.tensor(), in.tensor(), plain(be, w), 1e-6F); },
           "norm", 1e-6);
      both([&](Backend& be, Values& in, Values& h) { be.norm(h.tensor(), in.tensor(), {}, 1e-3F); },
           "norm without weight", 1e-6);
      both(
          [&](Backend& be, Values& in, Values& h) {
            be.residual_norm(in.tensor(), y.tensor(), plain(be, w), 0.7F, h.tensor(), plain(be, next), 1e-6F);
          },
          "residual_norm", 2e-6);
      if (cols > 1)
        both(
            [&](Backend& be, Values& in, Values& h) {
              be.layer_norm(h.tensor(), in.tensor(), plain(be, next), plain(be, w), plain(be, bias), 1e-5F);
            },
            "layer_norm", 2e-6);
    }
}

// Digital silence through the scale-free norm is exactly zero, not NaN.
TEST_P(Ops, SilenceIsZero) {
  Values x{std::vector<float>(1280, 0.0F), 2, 640}, y = poison(2, 640);
  cpu_->norm(y.tensor(), x.tensor(), {}, 1e-6F);
  EXPECT_EQ(y.v, x.v);
}

TEST_P(Ops, AddPositions) {
  seed(500);
  Values table = values(5, 2 * 24), a = values(3, 24), b = a;
  const std::vector<int32_t> xy = {0, 0, 4, 1, 2, 4};
  ref_->add_positions(a.tensor(), ref_->pack_plain(source(table, DType::kF32)), xy);
  cpu_->add_positions(b.tensor(), cpu_->pack_plain(source(table, DType::kF32)), xy);
  expect_close(b, a, 1e-7, "add_positions");
}

struct KvMemory {
  std::vector<uint8_t> k, v;
  std::vector<int32_t> pages;
  KvLayer layer;
  KvMemory(const HeadShape& s, KvType type, int64_t sequences, int64_t context, int64_t ring_blocks) {
    const int64_t per = (context + kKvBlock - 1) / kKvBlock,
                  blocks = sequences * (ring_blocks > 0 ? ring_blocks : per);
    k.assign(static_cast<size_t>(blocks * s.kv_heads * kv_block_bytes(type, s.head_dim)), 0);
    v = k;
    for (int64_t i = sequences * per; i > 0; --i)
      pages.push_back(static_cast<int32_t>(i - 1));  // not in order
    layer = {k.data(), v.data(), type, s.kv_heads, s.head_dim, ring_blocks, pages.data(), per};
  }
};

// A narrow cache as float32 in the layout of `to`; what it holds must be what `to` holds, rounded.
void widen(const KvMemory& from, KvMemory& to) {
  const int64_t hd = from.layer.head_dim, values = hd * kKvBlock, groups = (hd + kKvGroup - 1) / kKvGroup;
  const int64_t bytes = kv_block_bytes(from.layer.type, hd);
  for (const bool is_k : {true, false}) {
    const uint8_t* in = is_k ? from.k.data() : from.v.data();
    auto* out = reinterpret_cast<float*>(is_k ? to.k.data() : to.v.data());
    const int64_t blocks = static_cast<int64_t>(from.k.size()) / bytes;
    for (int64_t b = 0; b < blocks; ++b)
      for (int64_t i = 0; i < values; ++i) {
        float& exact = out[b * values + i];
        float found = 0, limit = 0;
        if (from.layer.type == KvType::kBF16) {
          uint16_t bits = 0;
          std::memcpy(&bits, in + b * bytes + 2 * i, 2);
          found = bf16_to_f32(bits);
          limit = std::fabs(exact) / 256;
        } else {
          const int64_t d = is_k ? i / kKvBlock : i % hd, j = is_k ? i % kKvBlock : i / hd;
          float scale = 0;
          std::memcpy(
              &scale,
              in + b * bytes + values + (is_k ? d / kKvGroup * kKvBlock + j : j * groups + d / kKvGroup) * 4,
              4);
          found = static_cast<float>(static_cast<int8_t>(in[b * bytes + i])) * scale;
          limit = scale * 0.501F;
        }
        ASSERT_NEAR(found, exact, limit + 1e-6F * std::fabs(exact)) << (is_k ? "K " : "V ") << b << ' ' << i;
        exact = found;
      }
  }
}

// rope_store and attend together: several steps of growing context, two sequences, ring and pages, vision
// spans.
struct Geometry {
  int64_t q_heads, kv_heads, head_dim, window;
  bool v_is_k;
};

class OpsAttention : public Ops {
 protected:
  void check(const Geometry& g, KvType type, int64_t context, int64_t step, double limit, uint32_t s);
};

void OpsAttention::check(const Geometry& g, KvType type, int64_t context, int64_t step, double limit,
                         uint32_t s) {
  seed(s);
  const HeadShape shape{g.q_heads, g.kv_heads, g.head_dim, g.v_is_k, g.window, 1e-6F};
  const int64_t ring = g.window > 0 ? (g.window - 1 + step + 15) / 16 + 1 : 0;
  KvMemory ref_kv(shape, KvType::kF32, 2, context, ring), cpu_kv(shape, type, 2, context, ring);
  Values qn = values(1, g.head_dim), kn = values(1, g.head_dim), freq = values(1, g.head_dim / 2, 0.5F);
  for (int64_t begin = 0; begin < context; begin += step) {
    const int64_t n = std::min(step, context - begin);
    StepPlan plan;
    for (int32_t sequence : {1, 0})
      for (int64_t p = begin; p < begin + n; ++p) {
        plan.token.push_back(5);
        plan.position.push_back(static_cast<int32_t>(p));
        plan.sequence.push_back(sequence);
        // in steps of 17 the last 9 rows are a vision block
        plan.span_end.push_back(
            static_cast<int32_t>(step == 17 && n == 17 && p >= begin + 8 ? begin + n - 1 : p));
      }
    const int64_t rows = plan.rows();
    Values qkv = values(rows, shape.qkv_cols(), 2);
    Values out[2] = {poison(rows, g.q_heads * g.head_dim), poison(rows, g.q_heads * g.head_dim)};
    Values queries[2] = {poison(0, 0), poison(0, 0)};
    Backend* backends[2] = {ref_.get(), cpu_.get()};
    for (int i = 0; i < 2; ++i) {
      Backend& be = *backends[i];
      const KvLayer& kv = i == 0 ? ref_kv.layer : cpu_kv.layer;
      Values q = poison(rows, g.q_heads * g.head_dim), cos = poison(rows, g.head_dim / 2), sin = cos;
      const RopeTable rope{cos.tensor(), sin.tensor()};
      be.rope_angles(rope, be.pack_plain(source(freq, DType::kF32)), plan);
      be.rope_store(q.tensor(), qkv.tensor(), shape, be.pack_plain(source(qn, DType::kF32)),
                    be.pack_plain(source(kn, DType::kF32)), rope, plan, kv);
      queries[i] = std::move(q);
    }
    if (type != KvType::kF32) widen(cpu_kv, ref_kv);
    ref_->attend(out[0].tensor(), queries[0].tensor(), shape, ref_kv.layer, plan);
    cpu_->attend(out[1].tensor(), queries[1].tensor(), shape, cpu_kv.layer, plan);
    expect_close(out[1], out[0], limit,
                 fmt::format("attention heads {}/{} x {}, window {}, rows {} from {}", g.q_heads, g.kv_heads,
                             g.head_dim, g.window, n, begin));
  }
}

TEST_P(OpsAttention, EqualsRef) {
  uint32_t s = 600;
  for (const Geometry g : {Geometry{4, 2, 16, 16, false},
                           {4, 1, 32, 0, true},
                           {16, 8, 256, 40, false},
                           {16, 1, 512, 0, true},
                           {6, 3, 24, 7, false},
                           {6, 2, 20, 0, false},
                           {3, 3, 2, 5, true}})
    for (const int64_t step : {1, 2, 3, 17, 64}) check(g, KvType::kF32, 90, step, 1e-5, s++);
}

// Contexts of several segments, whose results are merged; rows one by one, where segments are spread over
// threads, too.
TEST_P(OpsAttention, LongContexts) {
  uint32_t s = 700;
  for (const Geometry g : {Geometry{4, 1, 32, 0, true}, {4, 2, 16, 700, false}})
    for (const int64_t step : {1, 17, 300}) check(g, KvType::kF32, 1300, step, 1e-5, s++);
}

// Keys and values are rounded as their format says, and attention over them is that of ref over the same
// values.
TEST_P(OpsAttention, NarrowCaches) {
  uint32_t s = 800;
  for (const Geometry g :
       {Geometry{4, 1, 64, 0, true}, {4, 2, 256, 40, false}, {6, 3, 24, 7, false}, {2, 1, 512, 0, false}})
    for (const int64_t step : {1, 17, 64}) {
      check(g, KvType::kBF16, 90, step, 1e-5, s++);
      check(g, KvType::kQ8, 90, step, 1e-5, s++);
    }
}

INSTANTIATE_TEST_SUITE_P(Cpu, Ops, testing::ValuesIn(test::isas()), [](const auto& i) { return i.param; });
INSTANTIATE_TEST_SUITE_P(Cpu, OpsAttention, testing::ValuesIn(test::isas()),
                         [](const auto& i) { return i.param; });

TEST(Backends, TheBestIsaOfThisCpuIsChosen) {
  EXPECT_EQ(make_cpu_backend(1, "")->describe(), make_cpu_backend(1, test::isas().back())->describe());
#if defined(__aarch64__)
  EXPECT_THROW(make_cpu_backend(1, "avx2"), Error);
#endif
}

TEST(Backends, UnknownIsaIsRefused) {
  EXPECT_THROW(make_cpu_backend(1, "mmx"), Error);
}

}  // namespace
}  // namespace tessera
