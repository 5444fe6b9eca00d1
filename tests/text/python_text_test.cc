#include "text/python_text.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>

#include "fixtures.h"

namespace tessera {
namespace {

TEST(PythonText, StripsPythonsWhiteSpaceOnly) {
  const std::string all =
      "\t\n\v\f\r\x1C\x1D\x1E\x1F "
      "\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
      "\u2028\u2029\u202f\u205f\u3000";
  EXPECT_EQ(python_strip(all), "");
  EXPECT_EQ(python_strip(all + "a b" + all), "a b");
  EXPECT_EQ(python_strip(""), "");
  for (const std::string kept : {"\u200b", "\ufeff", "\u180e", "\x1B", "\u2060", "\x7F"}) {
    EXPECT_EQ(python_strip(" " + kept + " "), kept);
  }
}

TEST(PythonText, LowersEveryScript) {
  EXPECT_EQ(python_lower("AbZ_9 \u00c4\u00d6\u0178"), "abz_9 \u00e4\u00f6\u00ff");
  EXPECT_EQ(python_lower("\u0416\u0410\u0404"), "\u0436\u0430\u0454");  // Cyrillic
  EXPECT_EQ(python_lower("\u0391\u03A9"), "\u03B1\u03C9");              // Greek
  EXPECT_EQ(python_lower("\u1E9E\uFF21\U00010400"), "\u00df\uFF41\U00010428");
  EXPECT_EQ(python_lower("\u65e5 \u00d7\u00f7 \u0101\u0130"), "\u65e5 \u00d7\u00f7 \u0101\u0130");
}

TEST(PythonText, PrintsFloatsAsRepr) {
  const std::pair<double, const char*> rows[] = {{2.0, "2.0"},
                                                 {2.5, "2.5"},
                                                 {-0.0, "-0.0"},
                                                 {0.0, "0.0"},
                                                 {0.1, "0.1"},
                                                 {1.0 / 3, "0.3333333333333333"},
                                                 {1e-4, "0.0001"},
                                                 {1e-5, "1e-05"},
                                                 {1e-7, "1e-07"},
                                                 {1.5e-10, "1.5e-10"},
                                                 {1e15, "1000000000000000.0"},
                                                 {9999999999999998.0, "9999999999999998.0"},
                                                 {1e16, "1e+16"},
                                                 {1e22, "1e+22"},
                                                 {-123456.789, "-123456.789"},
                                                 {5e-324, "5e-324"},
                                                 {1.7976931348623157e308, "1.7976931348623157e+308"}};
  for (const auto& [value, text] : rows) EXPECT_EQ(python_float(value), text);
}

TEST(PythonText, FloatsReadBack) {
  test::Random random(7);
  for (int i = 0; i < 50000; ++i) {
    const double value = i % 2 == 0
                             ? std::bit_cast<double>(random())
                             : static_cast<double>(static_cast<int64_t>(random())) * std::pow(10, -(i % 25));
    if (!std::isfinite(value)) continue;
    const std::string text = python_float(value);
    ASSERT_EQ(std::strtod(text.c_str(), nullptr), value) << text;
    ASSERT_NE(text.find_first_of(".e"), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace tessera
