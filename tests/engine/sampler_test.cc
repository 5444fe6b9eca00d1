#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>

namespace tessera {
namespace {

Sampling with(auto change) {
  Sampling s;
  change(s);
  return s;
}

int32_t one(const Sampling& o, std::vector<float> logits, uint64_t seed = 1, int64_t position = 0,
            std::vector<int32_t> suppressed = {}, std::vector<int32_t> context = {},
            std::vector<int32_t> generated = {}) {
  return Sampler(o, seed, std::move(suppressed)).sample(logits, context, generated, position);
}

const Sampling kGreedy = with([](Sampling& s) { s.temperature = 0; });

TEST(Sampler, GreedyTakesTheLowestOfEqualLogits) {
  EXPECT_EQ(one(kGreedy, {1, 3, 3, 2}), 1);
}

TEST(Sampler, SuppressedIsNeverChosen) {
  EXPECT_EQ(one(kGreedy, {1, 9, 3}, 1, 0, {1, 500, -4}), 2);
  for (int64_t p = 0; p < 200; ++p) EXPECT_NE(one(Sampling{}, {0, 20, 0}, 3, p, {1}), 1);
}

TEST(Sampler, DrawFollowsTheDistribution) {
  const Sampling all = with([](Sampling& s) { s.top_k = 0, s.top_p = 1; });
  const std::vector<float> logits = {std::log(0.5F), std::log(0.3F), std::log(0.2F)};
  std::map<int32_t, int> counts;
  constexpr int kDraws = 20000;
  for (int64_t p = 0; p < kDraws; ++p) ++counts[one(all, logits, 42, p)];
  EXPECT_NEAR(counts[0], 0.5 * kDraws, 0.02 * kDraws);
  EXPECT_NEAR(counts[1], 0.3 * kDraws, 0.02 * kDraws);
  EXPECT_NEAR(counts[2], 0.2 * kDraws, 0.02 * kDraws);
}

TEST(Sampler, SameSeedSamePositionSameToken) {
  const std::vector<float> flat(1000, 0.0F);
  const Sampling all = with([](Sampling& s) { s.top_k = 0, s.top_p = 1; });
  int differ = 0;
  for (int64_t p = 0; p < 50; ++p) {
    EXPECT_EQ(one(all, flat, 9, p), one(all, flat, 9, p));
    differ += one(all, flat, 9, p) != one(all, flat, 10, p);
  }
  EXPECT_GT(differ, 40);
}

TEST(Sampler, TopKTopPMinPLimitTheChoice) {
  const std::vector<float> logits = {std::log(0.4F), std::log(0.3F), std::log(0.2F), std::log(0.1F)};
  const auto largest = [&](const Sampling& o) {
    int32_t m = 0;
    for (int64_t p = 0; p < 2000; ++p) m = std::max(m, one(o, logits, 5, p));
    return m;
  };
  EXPECT_EQ(largest(with([](Sampling& s) { s.top_k = 2, s.top_p = 1; })), 1);
  EXPECT_EQ(largest(with([](Sampling& s) { s.top_k = 0, s.top_p = 0.65F; })), 1);  // 0.4 + 0.3 reaches it
  EXPECT_EQ(largest(with([](Sampling& s) { s.top_k = 0, s.top_p = 0.75F; })), 2);
  EXPECT_EQ(largest(with([](Sampling& s) { s.top_k = 0, s.top_p = 1, s.min_p = 0.6F; })),
            1);  // 0.3 >= 0.6 * 0.4
  EXPECT_EQ(largest(with([](Sampling& s) { s.top_k = 0, s.top_p = 1; })), 3);
  EXPECT_EQ(largest(with([](Sampling& s) { s.top_p = 1e-6F; })), 0);  // the first candidate always stays
}

TEST(Sampler, TemperatureSharpens) {
  const auto firsts = [](float t) {
    int n = 0;
    for (int64_t p = 0; p < 2000; ++p)
      n += one(with([&](Sampling& s) { s.temperature = t; }), {1, 0}, 5, p) == 0;
    return n;
  };
  EXPECT_GT(firsts(0.25F), firsts(1.0F));
  EXPECT_GT(firsts(1.0F), firsts(4.0F));
}

// All candidates sorted, cut at k, then drawn as the sampler draws: what a faster choice of the k must equal.
int32_t by_sorting_all(const Sampling& o, const std::vector<float>& logits, uint64_t seed, int64_t position) {
  std::vector<std::pair<float, int32_t>> all;
  for (size_t i = 0; i < logits.size(); ++i) all.emplace_back(-logits[i], static_cast<int32_t>(i));
  std::sort(all.begin(), all.end());
  if (o.temperature == 0) return all.front().second;
  if (o.top_k > 0 && static_cast<size_t>(o.top_k) < all.size()) all.resize(static_cast<size_t>(o.top_k));
  std::vector<float> sorted;  // the sampler sees the best ones alone, in order, and draws the same place
  for (const auto& [negated, id] : all) sorted.push_back(-negated);
  Sampling rest = o;
  rest.top_k = 0;
  return all[static_cast<size_t>(one(rest, sorted, seed, position))].second;
}

TEST(Sampler, TheBestKAreThoseOfAFullSort) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0, 5);
  constexpr int64_t kVocab = 30011;
  for (const bool ties : {false, true})
    for (const int k : {1, 2, 64, 1000, 20000, 30010, 30011}) {
      std::vector<float> logits(kVocab);
      for (float& z : logits) z = ties ? std::round(normal(random)) : normal(random);
      for (size_t i = 0; i < logits.size(); i += 3) logits[i] = -INFINITY;
      for (const float temperature : {0.0F, 0.7F, 50.0F}) {
        const Sampling o = with([&](Sampling& s) { s.top_k = k, s.top_p = 1, s.temperature = temperature; });
        for (int64_t p = 0; p < 4; ++p)
          EXPECT_EQ(one(o, logits, 11, p), by_sorting_all(o, logits, 11, p))
              << "k " << k << (ties ? ", ties" : "") << ", temperature " << temperature << ", position " << p;
      }
    }
  for (const bool ascending : {false, true}) {  // every logit beats those before it, or none does
    std::vector<float> logits(kVocab);
    for (size_t i = 0; i < logits.size(); ++i)
      logits[i] = (ascending ? 1e-4F : -1e-4F) * static_cast<float>(i);
    const Sampling o = with([](Sampling& s) { s.top_p = 1; });
    for (int64_t p = 0; p < 20; ++p) EXPECT_EQ(one(o, logits, 3, p), by_sorting_all(o, logits, 3, p));
  }
}

TEST(Sampler, Penalties) {
  EXPECT_EQ(
      one(with([](Sampling& s) { s.temperature = 0, s.repetition_penalty = 2; }), {3, 2}, 1, 0, {}, {0}), 1);
  EXPECT_EQ(
      one(with([](Sampling& s) { s.temperature = 0, s.repetition_penalty = 2; }), {-1, -1.5F}, 1, 0, {}, {0}),
      1);
  EXPECT_EQ(one(with([](Sampling& s) { s.temperature = 0, s.presence_penalty = 1; }), {3, 2.5F}, 1, 0, {},
                {0}, {0}),
            1);
  EXPECT_EQ(
      one(with([](Sampling& s) { s.temperature = 0, s.presence_penalty = 1; }), {3, 2.5F}, 1, 0, {}, {0}, {}),
      0);
  EXPECT_EQ(one(with([](Sampling& s) { s.temperature = 0, s.frequency_penalty = 0.3F; }), {3, 2.5F}, 1, 0, {},
                {}, {0}),
            0);
  EXPECT_EQ(one(with([](Sampling& s) { s.temperature = 0, s.frequency_penalty = 0.3F; }), {3, 2.5F}, 1, 0, {},
                {}, {0, 0}),
            1);
}

TEST(Sampler, OptionsOutOfRangeAreRefusedWithTheNumber) {
  for (const Sampling& bad :
       {with([](Sampling& s) { s.temperature = -1; }), with([](Sampling& s) { s.top_k = -3; }),
        with([](Sampling& s) { s.top_p = 0; }), with([](Sampling& s) { s.top_p = 1.5F; }),
        with([](Sampling& s) { s.min_p = 2; }), with([](Sampling& s) { s.repetition_penalty = 0; }),
        with([](Sampling& s) { s.temperature = NAN; })})
    try {
      Sampler(bad, 0, {});
      ADD_FAILURE() << "accepted";
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kBadRequest);
      EXPECT_NE(std::string(e.what()).find("expected"), std::string::npos);
    }
}

// Limits give the draw of a row in which all other tokens are impossible, whichever way they are taken.
TEST(Sampler, LimitsAreTheDrawOfTheMaskedRow) {
  const auto backend = make_ref_backend();
  std::mt19937_64 random(17);
  constexpr int kVocab = 700;
  for (int round = 0; round < 400; ++round) {
    const Sampling o = with([&](Sampling& s) {
      s.temperature = round % 4 == 0 ? 0.0F : 1.0F;
      s.top_k = round % 3 == 0 ? 0 : 1 + static_cast<int>(random() % 64);
      if (round % 5 == 0) s.repetition_penalty = 1.7F;
    });
    std::vector<float> logits(kVocab);
    for (float& z : logits) z = static_cast<float>(static_cast<int>(random() % 2001) - 1000) / 100;
    std::vector<uint64_t> only((kVocab + 63) / 64 - round % 2);  // rows beyond the vocabulary are not allowed
    const uint64_t sparse = round % 2 == 0 ? 2 : 40;             // half of the tokens, or few
    for (int id = 0; id < static_cast<int>(only.size()) * 64 && id < kVocab; ++id)
      if (random() % sparse == 0) only[static_cast<size_t>(id) / 64] |= uint64_t{1} << (id % 64);
    only[0] |= 8;
    const std::vector<int32_t> banned = {static_cast<int32_t>(random() % kVocab)}, context = {1, 2, 3, 100};
    std::vector<float> masked = logits;
    for (int id = 0; id < kVocab; ++id)
      if (static_cast<size_t>(id) / 64 >= only.size() ||
          (only[static_cast<size_t>(id) / 64] >> (id % 64) & 1) == 0 || id == banned[0])
        masked[static_cast<size_t>(id)] = -std::numeric_limits<float>::infinity();
    const int32_t wanted = Sampler(o, 5, {}).sample(masked, context, context, round);
    const auto row = backend->allocate(kVocab * 4);
    backend->write(row.get(), logits.data(), kVocab * 4);
    EXPECT_EQ(Sampler(o, 5, {}).sample(*backend, {row.get(), 1, kVocab, DType::kF32}, context, context, round,
                                       {.banned = banned, .only = only}),
              wanted);
  }
}

TEST(Sampler, WhenAllThatIsAllowedIsBannedTheFormatDecides) {
  const auto backend = make_ref_backend();
  const auto row = backend->allocate(3 * 4);
  const std::vector<float> logits = {3, 2, 1};
  const std::vector<uint64_t> only = {0b110};
  for (const Sampling& o : {kGreedy, Sampling{}}) {
    backend->write(row.get(), logits.data(), 3 * 4);
    const int32_t id =
        Sampler(o, 1, {1, 2}).sample(*backend, {row.get(), 1, 3, DType::kF32}, {}, {}, 0, {.only = only});
    EXPECT_TRUE(id == 1 || id == 2);
  }
}

TEST(Sampler, LogprobsAreALogSoftmax) {
  const auto backend = make_ref_backend();
  const auto row = backend->allocate(4 * 4);
  const std::vector<float> logits = {std::log(0.1F) + 50, std::log(0.4F) + 50, std::log(0.3F) + 50,
                                     std::log(0.2F) + 50};
  backend->write(row.get(), logits.data(), 4 * 4);
  const Logprobs all(*backend, {row.get(), 1, 4, DType::kF32}, 2);
  ASSERT_EQ(all.top().size(), 2U);
  EXPECT_EQ(all.top()[0].id, 1);
  EXPECT_NEAR(all.top()[0].logit, std::log(0.4), 1e-5);
  EXPECT_EQ(all.top()[1].id, 2);
  EXPECT_NEAR(all.of(0), std::log(0.1), 1e-5);
}

}  // namespace
}  // namespace tessera
