// rope_store and attend together against ref: steps of growing context, two sequences, ring and pages, vision
// spans, narrow caches.
#include <cstring>
#include <optional>

#include "support/quant_matrix.h"
#include "support/tested_backends.h"

namespace tessera::test {
namespace {

struct KvMemory {
  std::shared_ptr<void> k, v, pages;
  int64_t blocks = 0;
  KvLayer layer;
  KvMemory(Backend& be, const HeadShape& s, KvType type, int64_t sequences, int64_t context,
           int64_t ring_blocks) {
    const int64_t per = (context + kKvBlock - 1) / kKvBlock;
    blocks = sequences * (ring_blocks > 0 ? ring_blocks : per) * s.kv_heads;
    k = be.allocate(blocks * kv_block_bytes(type, s.head_dim));
    v = be.allocate(blocks * kv_block_bytes(type, s.head_dim));
    std::vector<int32_t> table;
    for (int64_t i = sequences * per; i > 0; --i)
      table.push_back(static_cast<int32_t>(i - 1));  // not in order
    const auto bytes = static_cast<int64_t>(table.size() * sizeof(int32_t));
    pages = be.allocate(bytes);
    be.write(pages.get(), table.data(), bytes);
    be.sync();
    layer = {static_cast<uint8_t*>(k.get()),
             static_cast<uint8_t*>(v.get()),
             type,
             s.kv_heads,
             s.head_dim,
             ring_blocks,
             static_cast<const int32_t*>(pages.get()),
             per};
  }
};

// Value i of block b as `from` holds it, in the layout of float32 on the host, and how far rounding may move
// it.
struct Held {
  float value, limit;
};

class NarrowCache {
 public:
  NarrowCache(Backend& be, const KvMemory& from, bool is_k, bool k_by_position)
      : layer_(from.layer), is_k_(is_k), k_by_position_(k_by_position) {
    uint8_t* data = is_k ? from.layer.k : from.layer.v;
    if (layer_.type == KvType::kQ8) {
      bytes_ = data;
      return;
    }
    const DType dtype = layer_.type == KvType::kBF16 ? DType::kBF16 : DType::kF32;
    values_.resize(static_cast<size_t>(from.blocks * layer_.head_dim * kKvBlock));
    if (k_by_position || dtype == DType::kF32) {
      be.read(values_.data(), {data, from.blocks * kKvBlock, layer_.head_dim, dtype});
    } else {
      for (size_t i = 0; i < values_.size(); ++i) {
        uint16_t bits = 0;
        std::memcpy(&bits, data + 2 * i, 2);
        values_[i] = bf16_to_f32(bits);
      }
    }
  }
  Held at(int64_t b, int64_t i, float exact) const {
    const int64_t hd = layer_.head_dim, values = hd * kKvBlock, groups = (hd + kKvGroup - 1) / kKvGroup;
    const int64_t d = is_k_ ? i / kKvBlock : i % hd, j = is_k_ ? i % kKvBlock : i / hd;
    if (layer_.type != KvType::kQ8) {
      const float found =
          values_[static_cast<size_t>(b * values + (is_k_ && k_by_position_ ? j * hd + d : i))];
      return {found, std::fabs(exact) * (layer_.type == KvType::kBF16 ? 1.0F / 256 : 1e-5F)};
    }
    const uint8_t* block = bytes_ + b * kv_block_bytes(layer_.type, hd);
    float scale = 0;
    std::memcpy(&scale,
                block + values + (is_k_ ? d / kKvGroup * kKvBlock + j : j * groups + d / kKvGroup) * 4, 4);
    return {static_cast<float>(static_cast<int8_t>(block[i])) * scale, scale * 0.501F};
  }

 private:
  KvLayer layer_;
  bool is_k_, k_by_position_;
  const uint8_t* bytes_ = nullptr;
  std::vector<float> values_;
};

// What `from` holds must be what `to` (of ref) holds, rounded; then `to` holds the same.
void widen(Backend& be, const KvMemory& from, KvMemory& to, bool k_by_position) {
  const int64_t values = from.layer.head_dim * kKvBlock;
  for (const bool is_k : {true, false}) {
    const NarrowCache cache(be, from, is_k, k_by_position);
    auto* out = reinterpret_cast<float*>(is_k ? to.layer.k : to.layer.v);
    for (int64_t b = 0; b < from.blocks; ++b)
      for (int64_t i = 0; i < values; ++i) {
        float& exact = out[b * values + i];
        const Held held = cache.at(b, i, exact);
        ASSERT_NEAR(held.value, exact, held.limit + 1e-6F * std::fabs(exact) + 1e-6F)
            << (is_k ? "K " : "V ") << b << ' ' << i;
        exact = held.value;
      }
  }
}

struct Geometry {
  int64_t q_heads, kv_heads, head_dim, window;
  bool v_is_k;
};

class OpsAttention : public OpsTest {
 protected:
  bool on_card() const { return GetParam().isa.empty(); }
  KvType plain_kv() const { return rounds() ? KvType::kBF16 : KvType::kF32; }
  // Of y: sums in another order; bfloat16 rounds probabilities and results.
  double limit() const { return rounds() ? 4e-3 : 1e-5; }
  void check(const Geometry& g, KvType type, int64_t context, int64_t step, uint32_t s);
};

// A card's attention makes the digits that a quantised product of its few rows reads: the product must be
// that of rows that come from elsewhere.
class OwnDigits {
 public:
  OwnDigits(Backend& be, int64_t cols, int64_t rows, uint32_t seed, bool wanted) : be_(be) {
    if (!wanted || cols % kSuperBlock != 0 || rows > 8) return;
    const QuantMatrix w(forms()[1].layout, 16, cols, seed);
    weight_ = be.pack({.cols = cols, .parts = {w.part()}});
    be.reserve(8);
    own_.emplace(be, nan(rows)), other_.emplace(be, nan(rows));
  }
  // Right after y was made.
  void expect_same(const Placed& y, const std::string& what) {
    if (!weight_) return;
    be_.linear(*own_, y, weight_);
    be_.linear(*other_, Placed(be_, y.values(), y.tensor.dtype), weight_);
    EXPECT_EQ(own_->values().v, other_->values().v) << what << ": a product of the same rows";
  }

 private:
  static Values nan(int64_t rows) {
    return {std::vector<float>(static_cast<size_t>(rows * 16), NAN), rows, 16};
  }
  Backend& be_;
  Weight weight_;
  std::optional<Placed> own_, other_;
};

void OpsAttention::check(const Geometry& g, KvType type, int64_t context, int64_t step, uint32_t s) {
  seed(s);
  const HeadShape shape{g.q_heads, g.kv_heads, g.head_dim, g.v_is_k, g.window, 1e-6F};
  const int64_t ring = g.window > 0 ? (g.window - 1 + step + 15) / 16 + 1 : 0;
  KvMemory ref_kv(*ref_, shape, KvType::kF32, 2, context, ring), be_kv(*be_, shape, type, 2, context, ring);
  // Scores of some units, as in a trained model: wide ones would make every softmax one of one key.
  const float spread = 1.5F / std::sqrt(static_cast<float>(g.head_dim));
  const Values qn = values(1, g.head_dim, spread), kn = values(1, g.head_dim),
               freq = values(1, g.head_dim / 2, 0.5F);
  for (int64_t begin = 0; begin < context; begin += step) {
    const int64_t n = std::min(step, context - begin);
    StepPlan plan;
    for (const int32_t sequence : {1, 0})
      for (int64_t p = begin; p < begin + n; ++p) {
        plan.token.push_back(5);
        plan.position.push_back(static_cast<int32_t>(p));
        plan.sequence.push_back(sequence);
        // in steps of 17 the last 9 rows are a vision block
        plan.span_end.push_back(
            static_cast<int32_t>(step == 17 && n == 17 && p >= begin + 8 ? begin + n - 1 : p));
      }
    const int64_t rows = plan.rows();
    const Values qkv = values(rows, shape.qkv_cols(), 2);
    Backend* backends[2] = {ref_.get(), be_.get()};
    std::vector<Placed> queries, out;
    for (int i = 0; i < 2; ++i) {
      Backend& be = *backends[i];
      const DType dtype = be.activation_dtype();
      const Placed cos(be, poison(rows, g.head_dim / 2)), sin(be, poison(rows, g.head_dim / 2)), in(be, qkv);
      queries.emplace_back(be, poison(rows, g.q_heads * g.head_dim), dtype);
      out.emplace_back(be, poison(rows, g.q_heads * g.head_dim), dtype);
      be.rope_angles({cos, sin}, plain(be, freq), plan);
      be.rope_store(queries[i], in, shape, plain(be, qn), plain(be, kn), {cos, sin}, plan,
                    i == 0 ? ref_kv.layer : be_kv.layer);
      be.sync();
    }
    const std::string what = fmt::format("attention heads {}/{} x {}, window {}, rows {} from {}", g.q_heads,
                                         g.kv_heads, g.head_dim, g.window, n, begin);
    if (type != KvType::kF32) {
      widen(*be_, be_kv, ref_kv, on_card());
      if (HasFatalFailure()) return;
    }
    OwnDigits own(*be_, g.q_heads * g.head_dim, rows, s, begin == 0 || begin + n == context);
    const Values q = queries[1].values();
    expect_close(q, queries[0].values(), rounded(1e-5), what + " (q)");
    ref_->attend(out[0], Placed(*ref_, q), shape, ref_kv.layer, plan);
    be_->attend(out[1], queries[1], shape, be_kv.layer, plan);
    own.expect_same(out[1], what);
    expect_close(out[1].values(), out[0].values(), limit(), what);
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
    for (const int64_t step : {1, 2, 3, 4, 17, 64}) check(g, plain_kv(), 90, step, s++);
}

// Contexts of several segments, whose results are merged; rows one by one, where segments are spread over
// threads, too.
TEST_P(OpsAttention, LongContexts) {
  uint32_t s = 700;
  for (const Geometry g : {Geometry{4, 1, 32, 0, true}, {4, 2, 16, 700, false}})
    for (const int64_t step : {1, 17, 300}) check(g, plain_kv(), 1300, step, s++);
}

#ifdef TESSERA_TEST_CUDA
// The published model's heads over more than its window, by rows of decode, of tiles and of whole chunks.
TEST_P(OpsAttention, PublishedHeads) {
  uint32_t s = 900;
  for (const Geometry g : {Geometry{4, 2, 256, 300, false}, {16, 1, 512, 0, true}, {8, 2, 512, 64, false}})
    for (const int64_t step : {8, 129, 513}) check(g, plain_kv(), 650, step, s++);
  // Few rows behind several ranges of keys.
  for (const Geometry g : {Geometry{4, 2, 256, 0, false}, {16, 1, 512, 0, true}})
    check(g, plain_kv(), 130, 3, s++);
}
// The same kernels in little time: for tools that slow them down a thousand times.
TEST_P(OpsAttention, ShortContexts) {
  uint32_t s = 950;
  for (const Geometry g : {Geometry{4, 2, 256, 20, false}, {16, 1, 512, 0, true}})
    for (const int64_t step : {2, 24}) check(g, plain_kv(), 48, step, s++);
}
#else
// Keys and values are rounded as their format says, and attention over them is that of ref over the same
// values.
TEST_P(OpsAttention, NarrowCaches) {
  uint32_t s = 800;
  for (const Geometry g :
       {Geometry{4, 1, 64, 0, true}, {4, 2, 256, 40, false}, {6, 3, 24, 7, false}, {2, 1, 512, 0, false}})
    for (const int64_t step : {1, 17, 64}) {
      check(g, KvType::kBF16, 90, step, s++);
      check(g, KvType::kQ8, 90, step, s++);
    }
}
#endif

INSTANTIATE_TEST_SUITE_P(All, OpsAttention, testing::ValuesIn(tested_backends()),
                         [](const auto& i) { return i.param.name; });

}  // namespace
}  // namespace tessera::test
