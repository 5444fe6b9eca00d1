// A tokenizer's parts as lists and as JSON, read back.
#include "text/tokenizer_export.h"

#include <gtest/gtest.h>

#include "fixtures.h"
#include "support/expect_error.h"
#include "text/tokenizer.h"

namespace tessera::test {
namespace {

/// A file with these added tokens; the vocabulary is <0x0A>, "a\"\\", "b", "ab" and U+2581.
std::string small_file(const std::string& added) {
  return R"({"added_tokens":[)" + added +
         R"(],"normalizer":{"type":"Replace","pattern":{"String":" "},"content":"▁"},"pre_tokenizer":null,)"
         R"("decoder":null,"model":{"type":"BPE","unk_token":"b","byte_fallback":true,"fuse_unk":true,)"
         R"("vocab":{"<0x0A>":0,"a\"\\":1,"b":2,"a\"\\b":3,"▁":4},"merges":[["a\"\\","b"]]}})";
}

TEST(TokenizerExport, ListsOfTheTinyTokenizer) {
  const TokenizerFile file = read_tokenizer_file(tiny_json(), "tiny");
  const TokenLists lists = tokenizer_lists(file, "tiny");
  ASSERT_EQ(static_cast<int>(lists.tokens.size()), tiny().vocab_size());
  const std::vector<std::string_view> merges(lists.merges.begin(), lists.merges.end());
  const Tokenizer again = Tokenizer::from_parts({lists.tokens, lists.types, merges}, "lists");
  Random random(9);
  for (int i = 0; i < 1000; ++i) {
    const std::string text = random_text(random, below(random, 60));
    ASSERT_EQ(again.encode(text), tiny().encode(text)) << text;
  }
}

TEST(TokenizerExport, JsonReadsAsTheSameTokenizer) {
  const Tokenizer again =
      Tokenizer::from_json(tokenizer_json(read_tokenizer_file(tiny_json(), "tiny")), "json");
  ASSERT_EQ(again.vocab_size(), tiny().vocab_size());
  EXPECT_EQ(again.merges(), tiny().merges());
  for (int32_t id = 0; id < again.vocab_size(); ++id)
    ASSERT_EQ(again.token_bytes(id), tiny().token_bytes(id));
  Random random(10);
  for (int i = 0; i < 1000; ++i) {
    const std::string text = random_text(random, below(random, 60));
    ASSERT_EQ(again.encode(text), tiny().encode(text)) << text;
  }
}

TEST(TokenizerExport, TypesAndOddStrings) {
  const TokenizerFile file = read_tokenizer_file(
      small_file(
          R"({"id":5,"content":"<turn|>","special":true},{"id":6,"content":"<|channel>","special":true},)"
          R"({"id":7,"content":"tag","special":false})"),
      "small");
  const TokenLists lists = tokenizer_lists(file, "small");
  EXPECT_EQ(lists.types, (std::vector<int32_t>{6, 1, 1, 1, 1, 3, 4, 4}));
  EXPECT_EQ(lists.tokens[1], "a\"\\");
  EXPECT_EQ(lists.merges, (std::vector<std::string>{"a\"\\ b"}));
  const TokenizerFile again = read_tokenizer_file(tokenizer_json(file), "again");
  EXPECT_EQ(tokenizer_lists(again, "again").types, lists.types);
  EXPECT_EQ(tokenizer_lists(again, "again").merges, lists.merges);
}

TEST(TokenizerExport, IdsWithGapsAreRefused) {
  expect_error(ErrorKind::kBadModel, {"small"}, [] {
    tokenizer_lists(
        read_tokenizer_file(small_file(R"({"id":9,"content":"<turn|>","special":true})"), "small"), "small");
  });
  expect_error(ErrorKind::kBadModel, {"small", "id 2"}, [] {
    tokenizer_lists(read_tokenizer_file(small_file(R"({"id":2,"content":"x","special":true})"), "small"),
                    "small");
  });
}

}  // namespace
}  // namespace tessera::test
