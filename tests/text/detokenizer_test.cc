#include "text/detokenizer.h"

#include <gtest/gtest.h>

#include "fixtures.h"

namespace tessera {
namespace {

using test::Random;

std::string stream_in_pieces(std::string_view bytes, Random& random) {
  Utf8Stream stream;
  std::string text;
  for (size_t at = 0; at < bytes.size();) {
    const size_t n = 1 + test::below(random, 5);
    text += stream.push(bytes.substr(at, n));
    EXPECT_TRUE(is_utf8(text));
    at += n;
  }
  return text + stream.finish();
}

TEST(Utf8Stream, HoldsBackTheBeginningOfACharacter) {
  Utf8Stream stream;
  EXPECT_EQ(stream.push("a\xF0"), "a");
  EXPECT_EQ(stream.push("\x9F"), "");
  EXPECT_EQ(stream.push("\xA6"), "");
  EXPECT_EQ(stream.push("\x99z"), "\U0001F999z");
  EXPECT_EQ(stream.finish(), "");
}

TEST(Utf8Stream, ReplacesEachByteThatCannotBeText) {
  const std::string bad = "\uFFFD";
  Utf8Stream stream;
  EXPECT_EQ(stream.push("\xF0\x9F"), "");
  EXPECT_EQ(stream.push("a"), bad + bad + "a");
  EXPECT_EQ(stream.push("\xE2\x96"), "");
  EXPECT_EQ(stream.finish(), bad + bad);
  EXPECT_EQ(stream.finish(), "");
  EXPECT_EQ(stream.push("\x80\xC0\xAF\xED\xA0\x80\xF5"), bad + bad + bad + bad + bad + bad + bad);
}

TEST(Utf8Stream, DoesNotDependOnTheCut) {
  for (uint64_t seed = 1; seed <= 2000; ++seed) {
    Random random(seed);
    std::string bytes = test::random_text(random, 8);
    if (seed % 2 == 0) bytes += test::random_bytes(random, 12) + test::random_text(random, 3);
    Utf8Stream whole;
    std::string expected = whole.push(bytes);
    expected += whole.finish();
    EXPECT_EQ(stream_in_pieces(bytes, random), expected) << "seed " << seed;
    if (is_utf8(bytes)) {
      EXPECT_EQ(expected, bytes) << "seed " << seed;
    }
  }
}

TEST(Detokenizer, EqualsDecodeOnUtf8) {
  const std::string text = "caf\u00e9 \u65e5\u672c\u8a9e \U0001F642\u200D\u2194\uFE0F <|turn>x";
  Detokenizer stream(test::tiny());
  std::string streamed;
  const std::vector<int32_t> ids = test::tiny().encode(text);
  for (const int32_t id : ids) streamed += stream.push(id);
  EXPECT_EQ(streamed + stream.finish(), text);
  EXPECT_EQ(test::tiny().decode(ids), text);
  EXPECT_THROW((void)stream.push(5000), Error);
}

TEST(Utf8, ReadsExactlyTheCharactersOfUnicode) {
  for (char32_t code = 0; code < 0x110000; code += code < 0x3000 ? 1 : 61) {
    std::string text;
    append_utf8(text, code);
    const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
    const Utf8Char c = read_utf8(text, 0);
    ASSERT_EQ(is_utf8(text), !surrogate) << std::hex << static_cast<uint32_t>(code);
    if (surrogate) continue;
    ASSERT_EQ(c.code, code);
    ASSERT_EQ(static_cast<size_t>(c.bytes), text.size());
    for (size_t cut = 1; cut < text.size(); ++cut) {
      const Utf8Char part = read_utf8(std::string_view(text).substr(0, cut), 0);
      ASSERT_TRUE(part.incomplete && part.bytes == static_cast<int>(cut))
          << std::hex << static_cast<uint32_t>(code);
    }
  }
  for (const char* bad :
       {"\xC0\x80", "\xE0\x80\x80", "\xF0\x80\x80\x80", "\xF4\x90\x80\x80", "\xFE", "\x80"}) {
    EXPECT_EQ(read_utf8(bad, 0).bytes, 0) << bad;
  }
}

}  // namespace
}  // namespace tessera
