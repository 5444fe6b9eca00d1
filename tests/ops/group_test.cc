// A group of backends against one: shares of weights, of K and V, of logits; what goes wrong on one rank.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "backend/group_backend.h"
#include "support/host_sums.h"
#include "support/message_of.h"

namespace tessera::test {
namespace {

std::unique_ptr<Backend> group(int ranks) {
  std::vector<std::unique_ptr<Backend>> all;
  for (int i = 0; i < ranks; ++i) all.push_back(make_ref_backend());
  return make_group_backend(std::move(all), std::make_unique<HostSums>(ranks));
}

std::vector<float> values(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> out(count);
  for (float& v : out) v = normal(random);
  return out;
}

WeightPart part_of(const std::vector<float>& v, int64_t rows, int64_t heads = 0) {
  const int64_t cols = static_cast<int64_t>(v.size()) / rows;
  return {.rows = rows,
          .read = [&v, cols](int64_t first, int64_t count,
                             float* out) { std::copy_n(v.data() + first * cols, count * cols, out); },
          .heads = heads};
}

struct Placed {
  Placed(Backend& be, int64_t rows, int64_t cols, const std::vector<float>& v = {})
      : memory(be.allocate(rows * cols * 4)), t{memory.get(), rows, cols, DType::kF32} {
    if (!v.empty()) be.write(t.data, v.data(), rows * cols * 4);
  }
  std::shared_ptr<void> memory;
  Tensor t;
};

std::vector<float> read(Backend& be, Tensor t) {
  std::vector<float> out(static_cast<size_t>(t.rows * t.cols));
  be.read(out.data(), t);
  return out;
}

void expect_near(const std::vector<float>& found, const std::vector<float>& wanted, float limit) {
  ASSERT_EQ(found.size(), wanted.size());
  for (size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], wanted[i], limit) << "value " << i;
}

TEST(GroupShares, CoverTheWholeWithoutGaps) {
  for (const int ranks : {1, 2, 3, 4, 7, 8})
    for (const int64_t size : {256, 15360, 262144, 160, 112, 3840}) {
      if (size / 16 < ranks) continue;
      int64_t next = 0;
      for (int r = 0; r < ranks; ++r) {
        const Share s = share_of(size, 0, r, ranks);
        EXPECT_EQ(s.first, next);
        EXPECT_GT(s.count, 0);
        EXPECT_EQ(s.first % 16, 0);
        next = s.first + s.count;
      }
      EXPECT_EQ(next, size) << ranks << " ranks";
    }
}

TEST(GroupShares, HeadsStayWhole) {
  EXPECT_EQ(share_of(16 * 256, 16, 1, 2).first, 2048);
  EXPECT_EQ(share_of(16 * 256, 16, 1, 2).count, 2048);
  for (int r = 0; r < 4; ++r) {  // two heads for four ranks: each is held twice
    EXPECT_EQ(share_of(2 * 64, 2, r, 4).first, r / 2 * 64);
    EXPECT_EQ(share_of(2 * 64, 2, r, 4).count, 64);
  }
  EXPECT_NO_THROW(check_heads(16, 1, 8));
  EXPECT_NE(message_of([] { check_heads(16, 8, 3); }, ErrorKind::kBadRequest).find("--gpus"),
            std::string::npos);
  EXPECT_NE(message_of([] { check_heads(16, 6, 4); }, ErrorKind::kBadRequest).find("6 KV heads"),
            std::string::npos);
  EXPECT_NE(message_of([] { share_of(64, 0, 0, 8); }, ErrorKind::kBadRequest).find("width of 64"),
            std::string::npos);
}

// Codes, scales, mins and their scales of the columns of a rank are those of the whole row.
TEST(GroupShares, ColumnsOfQuantisedRows) {
  constexpr int64_t kCols = 1024, kRows = 3;
  using Scale = QuantLayout::Scale;
  for (const QuantLayout layout :
       {QuantLayout{8, 32, 128, Scale::kF16, false, false}, QuantLayout{4, 32, 0, Scale::kSuper, true, false},
        QuantLayout{8, 64, 0, Scale::kF32, true, false}}) {
    const size_t width = layout.scale == Scale::kF32 ? 4 : layout.scale == Scale::kSuper ? 1 : 2;
    const auto fill = [&](int64_t row, const QuantRow& out) {
      const int64_t groups = kCols / layout.group;
      for (int64_t k = 0; k < kCols; ++k) out.codes[k] = static_cast<uint8_t>(row * 31 + k * 7);
      for (int64_t g = 0; g < groups * static_cast<int64_t>(width); ++g) {
        static_cast<uint8_t*>(out.scales)[g] = static_cast<uint8_t>(row + g * 3);
        if (layout.has_min) static_cast<uint8_t*>(out.mins)[g] = static_cast<uint8_t>(row + g * 5);
      }
      if (layout.scale != Scale::kSuper) return;
      for (int64_t s = 0; s < kCols / kSuperBlock; ++s)
        out.super_scales[s] = static_cast<uint16_t>(row * 9 + s),
        out.super_mins[s] = static_cast<uint16_t>(row * 8 + s);
    };
    WeightSource whole{.cols = kCols, .cut = Cut::kInputs};
    whole.parts.push_back({.rows = kRows, .quant = layout, .read_quant = fill});
    struct Row {
      std::vector<uint8_t> codes = std::vector<uint8_t>(kCols), scales = std::vector<uint8_t>(kCols * 4),
                           mins = std::vector<uint8_t>(kCols * 4);
      std::vector<uint16_t> super_scales = std::vector<uint16_t>(8), super_mins = std::vector<uint16_t>(8);
      QuantRow view() {
        return {codes.data(), scales.data(), mins.data(), super_scales.data(), super_mins.data()};
      }
    };
    for (const int ranks : {2, 3})
      for (int r = 0; r < ranks; ++r) {
        const Share s = share_of(kCols, 0, r, ranks);
        const WeightSource own = share_of(whole, r, ranks);
        ASSERT_EQ(own.cols, s.count);
        for (int64_t row = 0; row < kRows; ++row) {
          Row all, some;
          fill(row, all.view());
          own.parts[0].read_quant(row, some.view());
          const auto equal = [](const auto& part, const auto& from, int64_t first, int64_t count) {
            return std::equal(part.begin(), part.begin() + count, from.begin() + first);
          };
          const auto bytes = static_cast<int64_t>(width);
          EXPECT_TRUE(equal(some.codes, all.codes, s.first, s.count));
          EXPECT_TRUE(
              equal(some.scales, all.scales, s.first / layout.group * bytes, s.count / layout.group * bytes));
          if (layout.has_min) {
            EXPECT_TRUE(
                equal(some.mins, all.mins, s.first / layout.group * bytes, s.count / layout.group * bytes));
          }
          if (layout.scale != Scale::kSuper) continue;
          EXPECT_TRUE(equal(some.super_scales, all.super_scales, s.first / 256, s.count / 256));
          EXPECT_TRUE(equal(some.super_mins, all.super_mins, s.first / 256, s.count / 256));
        }
      }
  }
}

TEST(GroupShares, ABlockIsNotCut) {
  WeightSource whole{.cols = 2 * 96, .cut = Cut::kInputs, .heads = 2};
  whole.parts.push_back({.rows = 1, .quant = {8, 64, 0, QuantLayout::Scale::kF16, false, false}});
  EXPECT_NE(message_of([&] { (void)share_of(whole, 0, 2); }, ErrorKind::kBadRequest).find("column 96"),
            std::string::npos);
}

// Gate and up by rows, down by columns, the norm after it: what one backend computes.
TEST(Group, AFeedForwardEqualsOneBackends) {
  constexpr int64_t kHidden = 64, kFfn = 160, kRows = 5;
  const auto gate = values(kFfn * kHidden, 1), up = values(kFfn * kHidden, 2),
             down = values(kHidden * kFfn, 3), x = values(kRows * kHidden, 4),
             stream = values(kRows * kHidden, 5), norm = values(kHidden, 6);
  const auto run = [&](Backend& be) {
    const Weight w = be.pack({.cols = kHidden,
                              .row_align = 16,
                              .parts = {part_of(gate, kFfn), part_of(up, kFfn)},
                              .cut = Cut::kOutputs});
    const Weight d = be.pack({.cols = kFfn, .parts = {part_of(down, kHidden)}, .cut = Cut::kInputs});
    const Weight n = be.pack_plain({.cols = kHidden, .parts = {part_of(norm, 1)}});
    const Placed in(be, kRows, kHidden, x), ffn(be, kRows, kFfn), out(be, kRows, kHidden),
        residual(be, kRows, kHidden, stream), h(be, kRows, kHidden);
    StepPlan plan;
    plan.token.assign(kRows, -1);
    for (int i = 0; i < 3; ++i) {  // once, recorded, replayed
      be.write(residual.t.data, stream.data(), kRows * kHidden * 4);
      be.step(plan, 7, [&] {
        be.gated_linear(ffn.t, in.t, w);
        be.linear(out.t, ffn.t, d);
        be.residual_norm(residual.t, out.t, n, 0.5F, h.t, n, 1e-6F);
      });
      be.sync();
    }
    auto all = read(be, residual.t);
    const auto normed = read(be, h.t);
    all.insert(all.end(), normed.begin(), normed.end());
    return all;
  };
  const auto wanted = run(*make_ref_backend());
  for (const int ranks : {1, 2, 3, 4, 5}) {
    SCOPED_TRACE(ranks);
    expect_near(run(*group(ranks)), wanted, 2e-5F);
  }
}

// A row of the table is on one rank; the head gives each rank a share of the logits.
TEST(Group, EmbeddingAndCandidatesEqualOneBackends) {
  constexpr int64_t kVocab = 512, kHidden = 32;
  auto table = values(kVocab * kHidden, 9);
  std::copy_n(table.data() + 5 * kHidden, kHidden, table.data() + 300 * kHidden);  // a tie over ranks
  StepPlan plan;
  plan.token = {0, 511, -1, 255, 256, 5};
  plan.position = plan.sequence = plan.span_end = std::vector<int32_t>(6, 0);
  const std::vector<LogitEdit> edits = {{5, 1.3F, 0.1F}, {300, 1.3F, 0.1F}, {511, 1, INFINITY}, {17, 2, 0}};
  struct Found {
    std::vector<float> rows, logits;
    std::vector<Candidate> best;
  };
  const auto run = [&](Backend& be, int64_t count) {
    const Weight w = be.pack({.cols = kHidden, .parts = {part_of(table, kVocab)}, .cut = Cut::kOutputs});
    const Placed y(be, 6, kHidden), logits(be, 6, kVocab);
    Found out;
    be.step(plan, 3, [&] {
      be.embed(y.t, w, plan, 2.0F);
      be.logits(logits.t, y.t, w, 30.0F);
    });
    be.sync();
    out.rows = read(be, y.t);
    out.logits = read(be, logits.t);
    const Tensor last{logits.t.row(5), 1, kVocab, DType::kF32};
    be.candidates(last, edits, count, out.best);
    return out;
  };
  for (const int64_t count : {1, 2, 40, 512}) {
    const Found wanted = run(*make_ref_backend(), count);
    for (const int ranks : {2, 3, 4}) {
      SCOPED_TRACE(fmt::format("{} ranks, {} candidates", ranks, count));
      const Found found = run(*group(ranks), count);
      EXPECT_EQ(found.rows, wanted.rows);
      EXPECT_EQ(found.logits, wanted.logits);
      ASSERT_EQ(found.best.size(), wanted.best.size());
      for (size_t i = 0; i < wanted.best.size(); ++i) {
        EXPECT_EQ(found.best[i].id, wanted.best[i].id) << i;
        EXPECT_EQ(found.best[i].logit, wanted.best[i].logit) << i;
      }
    }
  }
}

// Logits that the host changes (a drafter's clusters), and blocks of K that it keeps.
TEST(Group, WhatIsWrittenIsRead) {
  const auto be = group(4);
  const auto table = values(64 * 16, 3);
  const Weight w = be->pack({.cols = 16, .parts = {part_of(table, 64)}, .cut = Cut::kOutputs});
  const Placed x(*be, 3, 16, values(48, 1)), logits(*be, 3, 64);
  be->logits(logits.t, x.t, w, 0);
  const auto row = values(64, 8);
  be->write(logits.t.row(1), row.data(), 64 * 4);
  EXPECT_EQ(read(*be, {logits.t.row(1), 1, 64, DType::kF32}), row);
  const auto all = read(*be, logits.t);
  EXPECT_TRUE(std::equal(row.begin(), row.end(), all.begin() + 64));
  EXPECT_NE(all[0], row[0]);

  for (const int64_t heads : {8, 4, 2, 1}) {
    constexpr int64_t kHeadBytes = 128, kBlocks = 5;
    const int64_t block = heads * kHeadBytes;
    const auto memory = be->allocate_kv(kBlocks * block, heads, 0);
    auto* base = static_cast<uint8_t*>(memory.get());
    const auto block_at = [&](int64_t i) { return Tensor{base + i * block, 1, block / 4, DType::kF32}; };
    std::vector<std::vector<float>> kept;
    for (int64_t i = 0; i < kBlocks; ++i) {
      kept.push_back(values(static_cast<size_t>(block / 4), static_cast<uint32_t>(i)));
      be->write(base + i * block, kept.back().data(), block);
    }
    be->copy(block_at(4), block_at(1));
    kept[4] = kept[1];
    for (int64_t i = 0; i < kBlocks; ++i)
      EXPECT_EQ(read(*be, block_at(i)), kept[static_cast<size_t>(i)]) << heads << " heads, block " << i;
  }
}

TEST(Group, AFailedStepLeavesTheNextOneAlone) {
  const auto be = group(3);
  const Placed x(*be, 2, 16, values(32, 1)), y(*be, 2, 16);
  StepPlan plan;
  plan.token = {1, 2};
  EXPECT_EQ(message_of([&] { be->step(plan, 5, [] { throw_error(ErrorKind::kDevice, "gone"); }); },
                       ErrorKind::kDevice),
            "gone");
  for (int i = 0; i < 3; ++i) be->step(plan, 6, [&] { be->norm(y.t, x.t, {}, 1e-6F); });
  EXPECT_GT(std::abs(read(*be, y.t)[0]), 0);
}

}  // namespace
}  // namespace tessera::test
