// Time grows with the text, not with its square. Bounds are generous: a quadratic algorithm misses them by
// far.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "fixtures.h"
#include "text/tokenizer.h"

namespace tessera {
namespace {

double seconds(const std::string& text) {
  double best = 1e9;
  for (int run = 0; run < 2; ++run) {
    const auto start = std::chrono::steady_clock::now();
    const size_t ids = test::tiny().encode(text).size();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    EXPECT_GT(ids, 0U);
  }
  return best;
}

std::string repeated(std::string_view piece, size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += piece;
  return text;
}

class Linear : public testing::TestWithParam<const char*> {};

TEST_P(Linear, OneMegabyte) {
  const double quarter = seconds(repeated(GetParam(), size_t{1} << 18));
  const double whole = seconds(repeated(GetParam(), size_t{1} << 20));
  // The floor keeps timer noise out of the ratio: a quadratic 1 MB takes minutes.
  EXPECT_LT(whole, 8 * std::max(quarter, 0.02)) << quarter << " s for 256 KiB, " << whole << " s for 1 MiB";
}

INSTANTIATE_TEST_SUITE_P(Text, Linear,
                         testing::Values("<", "a", "\u2581", " ", "\n", "e ", "<|tool_respons", "\xFF", "-",
                                         "=", "\U0001F999", "<|turn>", "self"));

}  // namespace
}  // namespace tessera
