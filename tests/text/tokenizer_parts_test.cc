// Tokenizer::from_parts: the same ids as from tokenizer.json.
#include <gtest/gtest.h>

#include "base/error.h"
#include "fixtures.h"
#include "support/expect_error.h"
#include "support/tokenizer_lists.h"

namespace tessera::test {
namespace {

Tokenizer tiny_from_parts() {
  return TokenizerLists(nlohmann::json::parse(tiny_json())).tokenizer("tiny.gguf");
}

TEST(TokenizerParts, TheSameAsFromJson) {
  const Tokenizer& wanted = tiny();
  const Tokenizer found = tiny_from_parts();
  ASSERT_EQ(found.vocab_size(), wanted.vocab_size());
  EXPECT_EQ(found.merges(), wanted.merges());
  ASSERT_EQ(found.control_tokens().size(), wanted.control_tokens().size());
  for (size_t i = 0; i < found.control_tokens().size(); ++i) {
    EXPECT_EQ(found.control_tokens()[i].id, wanted.control_tokens()[i].id);
    EXPECT_EQ(found.control_tokens()[i].text, wanted.control_tokens()[i].text);
  }
  for (int32_t id = 0; id < wanted.vocab_size(); ++id)
    ASSERT_EQ(found.token_bytes(id), wanted.token_bytes(id));
  Random random(5);
  for (int i = 0; i < 3000; ++i) {
    const std::string text = i % 2 == 0 ? random_text(random, below(random, 60)) : random_bytes(random, 40);
    ASSERT_EQ(found.encode(text), wanted.encode(text)) << text;
  }
}

TEST(TokenizerParts, ControlTokensMarkedNormalAreControlTokens) {
  TokenizerLists lists(nlohmann::json::parse(tiny_json()));
  for (int32_t& type : lists.types)
    if (type == 3 || type == 4) type = 1;
  const Tokenizer found = lists.tokenizer("tiny.gguf");
  EXPECT_EQ(found.control_tokens().size(), 24U);
  EXPECT_EQ(found.encode("<|turn>user"), tiny().encode("<|turn>user"));
}

TEST(TokenizerParts, ContradictionsAreRefused) {
  const TokenizerLists good(nlohmann::json::parse(tiny_json()));
  const auto refused = [&](const std::vector<std::string>& words, auto change) {
    TokenizerLists lists = good;
    change(lists);
    expect_error(ErrorKind::kBadModel, words, [&] { lists.tokenizer("x.gguf"); });
  };
  refused({"x.gguf", "1024 tokens and 1023 token types"}, [](auto& l) { l.types.pop_back(); });
  refused({"token 5 has type 7"}, [](auto& l) { l.types[5] = 7; });
  refused({"token 300 is not UTF-8"}, [](auto& l) { l.tokens[300] = "\xff"; });
  refused({"empty"}, [](auto& l) { l.tokens[300] = ""; });
  refused({"twice"}, [](auto& l) { l.tokens[300] = l.tokens[301]; });
  refused({"merge 7", "left right"}, [](auto& l) { l.merges[7] = "ab"; });
  refused({"merge 7", "left right"}, [](auto& l) { l.merges[7] = "ab "; });
  refused({"merge 7"}, [](auto& l) { l.merges[7] = ""; });
  refused({"zzzz", "not in the vocabulary"}, [](auto& l) { l.merges[7] = "zzzz e"; });
  refused({"256"}, [](auto& l) { l.tokens[5] = std::string(300, 'x'); });
}

TEST(TokenizerParts, SurvivesMutation) {
  const TokenizerLists good(nlohmann::json::parse(tiny_json()));
  Random random(9);
  int refused = 0;
  for (int i = 0; i < 300; ++i) {
    TokenizerLists lists = good;
    for (size_t edits = 1 + below(random, 3); edits > 0; --edits) {
      std::string& text = random() % 2 == 0 ? lists.tokens[below(random, lists.tokens.size())]
                                            : lists.merges[below(random, lists.merges.size())];
      text = mutated(text, random);
    }
    try {
      lists.tokenizer("x.gguf").encode("the\n\xff <|turn>");
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 10);
}

}  // namespace
}  // namespace tessera::test
