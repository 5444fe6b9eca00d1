#include "media/silence.h"

#include <gtest/gtest.h>

#include <random>

#include "media/audio.h"

namespace tessera {
namespace {

constexpr size_t kSecond = kSampleHz;

TEST(Silence, ShortRecordingsStayWhole) {
  const std::vector<float> samples(5 * kSecond, 0.5F);
  EXPECT_EQ(cut_at_silences(samples, 30 * kSecond),
            (std::vector<std::pair<size_t, size_t>>{{0, 5 * kSecond}}));
  EXPECT_EQ(cut_at_silences(samples, 5 * kSecond).size(), 1U);
}

TEST(Silence, CutsInThePause) {
  std::vector<float> samples(50 * kSecond, 0.5F);
  std::fill(samples.begin() + 22 * kSecond, samples.begin() + 23 * kSecond, 0.001F);
  const auto ranges = cut_at_silences(samples, 30 * kSecond);
  ASSERT_EQ(ranges.size(), 2U);
  EXPECT_GE(ranges[0].second, 22 * kSecond);
  EXPECT_LE(ranges[0].second, 23 * kSecond);
}

TEST(Silence, RangesCoverEverySampleOnceAndAreNeverTooLong) {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    const size_t longest = kSecond + random() % (4 * kSecond);
    std::vector<float> samples(random() % (40 * kSecond) + 1);
    for (auto& s : samples) s = static_cast<float>(random() % 1000) / 1000.0F;
    size_t at = 0;
    for (const auto& [begin, end] : cut_at_silences(samples, longest)) {
      EXPECT_EQ(begin, at);
      EXPECT_GT(end, begin);
      EXPECT_LE(end - begin, longest);
      at = end;
    }
    EXPECT_EQ(at, samples.size());
  }
}

}  // namespace
}  // namespace tessera
