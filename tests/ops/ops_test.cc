// Every operation of a backend but attention against ref. Seeds are fixed and printed with a failure; shapes
// are the edges of tiles, panels and vectors.
#include <cstring>
#include <limits>

#include "support/tested_backends.h"

namespace tessera::test {
namespace {

constexpr int64_t kRowCounts[] = {1, 2, 3, 8, 17, 129, 513};

class Ops : public OpsTest {};

TEST_P(Ops, Linear) {
  uint32_t s = 1;
  for (const int64_t rows : kRowCounts)
    for (const int64_t cols : {1, 15, 256, 1027, 3840})
      for (const int64_t outputs : {1, 16, 47, 130})
        for (const DType stored : {DType::kBF16, DType::kF32}) {
          if (rows * cols * outputs > 20'000'000) continue;
          seed(s++);
          Values x = inputs(rows, cols), w = values(outputs, cols, 0.05F);
          if (stored == DType::kBF16) round_bf16(w);
          const Weight ref_w = ref_->pack(source(w, stored)), packed = be_->pack(source(w, stored));
          be_->reserve(rows);
          const Placed a(*ref_, poison(rows, outputs)), b(*be_, poison(rows, outputs));
          ref_->linear(a, Placed(*ref_, x), ref_w);
          be_->linear(b, Placed(*be_, x, act()), packed);
          // Weights that bfloat16 does not hold may be rounded to it beside bfloat16 activations.
          expect_close(b.values(), a.values(), stored == DType::kF32 ? rounded(3e-6) : 3e-6,
                       fmt::format("linear {}x{}x{} type {}", rows, cols, outputs, static_cast<int>(stored)),
                       0.05 * std::sqrt(cols));
        }
}

TEST_P(Ops, LinearRowsAreIndependent) {
  seed(77);
  // A card's contract is for the rows of a decode step.
  const int64_t rows = GetParam().isa.empty() ? 8 : 29;
  const Values x = inputs(rows, 515), w = values(100, 515);
  for (const DType stored : {DType::kBF16, DType::kF32}) {
    const Weight packed = be_->pack(source(w, stored));
    be_->reserve(rows);
    const Placed all(*be_, poison(rows, 100));
    be_->linear(all, Placed(*be_, x, act()), packed);
    const Values together = all.values();
    for (int64_t r = 0; r < rows; ++r) {
      const Placed one(*be_, poison(1, 100));
      be_->linear(one, Placed(*be_, {{x.v.begin() + r * 515, x.v.begin() + (r + 1) * 515}, 1, 515}, act()),
                  packed);
      EXPECT_EQ(0, std::memcmp(one.values().v.data(), together.v.data() + r * 100, 100 * sizeof(float)))
          << "row " << r;
    }
  }
}

TEST_P(Ops, GatedLinearAndLogits) {
  uint32_t s = 200;
  for (const int64_t rows : kRowCounts)
    for (const int64_t ffn : {16, 40, 224}) {
      seed(s++);
      const int64_t padded = (ffn + 15) / 16 * 16, cols = 96;
      Values x = inputs(rows, cols, 3), w = values(2 * padded, cols);
      for (int64_t r = 0; r < 2 * padded; ++r)
        if (r % padded >= ffn) std::fill_n(w.row(r), cols, 0.0F);
      round_bf16(w);
      const Weight ref_w = ref_->pack(source(w, DType::kBF16));
      // gate and up halves as the model's loader gives them: two parts, padded to 16 rows
      const auto half = [&](int64_t first) {
        return WeightPart{
            .rows = ffn, .stored = DType::kBF16, .read = [&w, first](int64_t r, int64_t n, float* out) {
              std::copy_n(w.row(first + r), n * w.cols, out);
            }};
      };
      const Weight packed = be_->pack({.cols = cols, .row_align = 16, .parts = {half(0), half(padded)}});
      be_->reserve(rows);
      const Placed a(*ref_, poison(rows, ffn)), b(*be_, poison(rows, ffn), act());
      const Placed ref_x(*ref_, x), be_x(*be_, x, act());
      ref_->gated_linear(a, ref_x, ref_w);
      be_->gated_linear(b, be_x, packed);
      // From 9 rows on a card may round gate and up to bfloat16 before they are multiplied.
      expect_close(b.values(), a.values(), rounds() ? 6e-3 : 3e-6,
                   fmt::format("gated_linear {} rows, ffn {}", rows, ffn));
      const Weight head = be_->pack(source(w, DType::kBF16));
      be_->reserve(rows);
      for (const float cap : {0.0F, 30.0F}) {
        const Placed la(*ref_, poison(rows, 2 * padded)), lb(*be_, poison(rows, 2 * padded));
        ref_->logits(la, ref_x, ref_w, cap);
        be_->logits(lb, be_x, head, cap);
        expect_close(lb.values(), la.values(), 3e-6, fmt::format("logits {} rows, cap {}", rows, cap));
      }
    }
}

TEST_P(Ops, EmbedPlaceAndTakeRows) {
  seed(300);
  Values table = values(33, 70), media = values(2, 70);
  round_bf16(table);
  StepPlan plan;
  plan.token = {32, -1, 0, -1};
  plan.position = {0, 1, 2, 3};
  plan.sequence = {0, 0, 0, 0};
  plan.span_end = plan.position;
  plan.media_row = {1, 3};
  plan.logit_row = {3, 0};
  std::vector<Values> out;
  for (Backend* be : {ref_.get(), be_.get()}) {
    const Placed y(*be, poison(4, 70)), m(*be, media), taken(*be, poison(2, 70));
    plan.media = m;
    const Weight packed = be->pack(source(table, DType::kBF16));
    be->reserve(4);
    be->embed(y, packed, plan, 22.625F);
    const Values before = y.values();
    for (int64_t c = 0; c < 70; ++c) EXPECT_EQ(before.v[static_cast<size_t>(70 + c)], 0);  // a soft token's
    be->place_media(y, plan);
    be->take_rows(taken, y, plan);
    out.push_back(y.values());
    out.push_back(taken.values());
  }
  EXPECT_EQ(out[0].v, out[2].v);
  for (int64_t c = 0; c < 70; ++c) {
    EXPECT_EQ(out[2].row(0)[c], table.row(32)[c] * 22.625F);
    EXPECT_EQ(out[2].row(3)[c], media.row(1)[c]);  // never scaled
  }
  EXPECT_EQ(0, std::memcmp(out[3].v.data(), out[2].row(3), 70 * sizeof(float)));
  EXPECT_EQ(0, std::memcmp(out[3].row(1), out[2].row(0), 70 * sizeof(float)));
}

TEST_P(Ops, JoinPutsAGatheredRowBesideEachRow) {
  seed(350);
  Values a = values(3, 40), b = values(5, 24);
  round_bf16(a);  // a card's products take bfloat16
  round_bf16(b);
  StepPlan plan;
  plan.token = plan.position = plan.sequence = plan.span_end = {0, 0, 0};
  plan.logit_row = {4, 0, 2};
  for (Backend* be : {ref_.get(), be_.get()}) {
    const Placed left(*be, a), right(*be, b), y(*be, poison(3, 64), be == be_.get() ? act() : DType::kF32);
    be->join(y, left, right, plan);
    Values found = y.values();
    for (int64_t r = 0; r < 3; ++r) {
      EXPECT_EQ(0, std::memcmp(found.row(r), a.row(r), 40 * sizeof(float)));
      EXPECT_EQ(0, std::memcmp(found.row(r) + 40, b.row(plan.logit_row[r]), 24 * sizeof(float)));
    }
  }
}

TEST_P(Ops, Norms) {
  uint32_t s = 400;
  for (const int64_t rows : kRowCounts)
    for (const int64_t cols : {1, 16, 33, 640, 3840, 6912}) {
      seed(s++);
      const Values x = values(rows, cols, 4), y = values(rows, cols), w = values(1, cols),
                   next = values(1, cols), bias = values(1, cols);
      const auto both = [&](const auto& op, const char* what, double limit) {
        const Placed xa(*ref_, x), xb(*be_, x), ha(*ref_, poison(rows, cols)),
            hb(*be_, poison(rows, cols), act());
        op(*ref_, xa, ha);
        op(*be_, xb, hb);
        expect_close(hb.values(), ha.values(), rounded(limit), fmt::format("{} {}x{}", what, rows, cols));
        expect_close(xb.values(), xa.values(), limit, fmt::format("{} {}x{} (x)", what, rows, cols));
      };
      both([&](Backend& be, Tensor in, Tensor h) { be.norm(h, in, plain(be, w), 1e-6F); }, "norm", 1e-6);
      both([&](Backend& be, Tensor in, Tensor h) { be.norm(h, in, {}, 1e-3F); }, "norm without weight", 1e-6);
      both(
          [&](Backend& be, Tensor in, Tensor h) {
            be.residual_norm(in, Placed(be, y), plain(be, w), 0.7F, h, plain(be, next), 1e-6F);
            be.sync();  // y goes
          },
          "residual_norm", 2e-6);
      if (cols > 1)
        both([&](Backend& be, Tensor in,
                 Tensor h) { be.layer_norm(h, in, plain(be, next), plain(be, w), plain(be, bias), 1e-5F); },
             "layer_norm", 2e-6);
    }
}

// Digital silence through the scale-free norm is exactly zero, not NaN.
TEST_P(Ops, SilenceIsZero) {
  const Values x{std::vector<float>(1280, 0.0F), 2, 640};
  const Placed y(*be_, poison(2, 640), act());
  be_->norm(y, Placed(*be_, x), {}, 1e-6F);
  EXPECT_EQ(y.values().v, x.v);
}

TEST_P(Ops, AddPositions) {
  seed(500);
  const Values table = values(5, 2 * 24), y = values(3, 24);
  const std::vector<int32_t> xy = {0, 0, 4, 1, 2, 4};
  const Placed a(*ref_, y), b(*be_, y);
  ref_->add_positions(a, plain(*ref_, table), xy);
  be_->add_positions(b, plain(*be_, table), xy);
  expect_close(b.values(), a.values(), 1e-7, "add_positions");
}

TEST_P(Ops, CopiesRows) {
  seed(550);
  const Values x = values(7, 33);
  const Placed from(*be_, x), to(*be_, poison(7, 33));
  be_->copy(to, from);
  EXPECT_EQ(to.values().v, x.v);
}

// The same candidates in the same order as the plain computation, ties included.
TEST_P(Ops, Candidates) {
  uint32_t s = 580;
  for (const int64_t vocab : {1, 5, 1024, 2049, 262144})
    for (const int64_t count : {1, 2, 64, 256, 300, 5000}) {
      if (count > vocab) continue;
      seed(s++);
      Values logits = values(1, vocab, 5);
      for (float& f : logits.v) f = std::round(f * 64) / 64;  // many equal ones
      std::vector<LogitEdit> edits;
      const auto best =
          static_cast<int32_t>(std::max_element(logits.v.begin(), logits.v.end()) - logits.v.begin());
      edits.push_back({best, 1, std::numeric_limits<float>::infinity()});
      for (int32_t id = 0; id < std::min<int64_t>(vocab, 300); id += 3)
        if (id != best) edits.push_back({id, 1.3F, 0.2F * static_cast<float>(id % 5)});
      if (vocab == 1) edits.clear();
      std::vector<Candidate> wanted, found;
      std::vector<float> copy = logits.v;
      host_candidates(copy, edits, count, wanted);
      be_->candidates(Placed(*be_, logits), edits, count, found);
      ASSERT_EQ(found.size(), wanted.size());
      for (size_t i = 0; i < wanted.size(); ++i) {
        ASSERT_EQ(found[i].id, wanted[i].id) << "candidate " << i << " of " << count << ", seed " << seed_;
        ASSERT_EQ(found[i].logit, wanted[i].logit)
            << "candidate " << i << " of " << count << ", seed " << seed_;
      }
    }
}

INSTANTIATE_TEST_SUITE_P(All, Ops, testing::ValuesIn(tested_backends()),
                         [](const auto& i) { return i.param.name; });

#ifndef TESSERA_TEST_CUDA
TEST(Backends, TheBestIsaOfThisCpuIsChosen) {
  EXPECT_EQ(make_cpu_backend(1, "")->describe(), make_cpu_backend(1, isas().back())->describe());
#if defined(__aarch64__)
  EXPECT_THROW(make_cpu_backend(1, "avx2"), Error);
#endif
}

TEST(Backends, UnknownIsaIsRefused) {
  EXPECT_THROW(make_cpu_backend(1, "mmx"), Error);
}
#endif

}  // namespace
}  // namespace tessera::test
