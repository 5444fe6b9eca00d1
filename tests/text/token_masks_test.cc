// Masks against the plain question "does the grammar take this token's bytes?", token by token.
#include "text/token_masks.h"

#include <gtest/gtest.h>

#include "fixtures.h"
#include "real_vocabulary.h"
#include "text/json_schema.h"

namespace tessera {
namespace {

using test::below;
using test::Random;
using test::tiny;

constexpr const char* kSchemas[] = {
    R"({"type":"object"})",
    R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer","minimum":0},"tags":{"type":"array","items":{"type":"string","maxLength":9}},"kind":{"enum":["cat","dog","catfish"]}},"required":["name","kind"]})",
    R"({"type":"array","items":{"anyOf":[{"type":"string","pattern":"^[a-z ]{2,30}$"},{"type":"number"},{"type":"string","format":"date"},{"$ref":"#"}]},"minItems":1})",
    R"({"type":"object","additionalProperties":{"type":"string","minLength":3,"maxLength":200},"properties":{"the":{"type":"null"}}})",
};

bool has(std::span<const uint64_t> bits, int32_t id) {
  return (bits[static_cast<size_t>(id) / 64] >> (id % 64) & 1) != 0;
}

// Random walks through masks, each mask compared with the question put to every token.
void compare_walks(const Tokenizer& tokenizer, int walks, int steps, size_t most_questions) {
  const TokenTrie trie(tokenizer);
  Random random(11);
  for (const char* text : kSchemas) {
    for (const StringSyntax syntax : {StringSyntax::kJson, StringSyntax::kCall}) {
      Grammar grammar(trie.max_token_bytes());
      const auto root =
          schema_text(grammar, parse_json(text, ErrorKind::kBadRequest, "test"), syntax, "test");
      TokenMasks masks(grammar, trie);
      for (int walk = 0; walk < walks; ++walk) {
        Grammar::State state = root;
        for (int step = 0; step < steps && state != Grammar::kEnd; ++step) {
          std::vector<uint64_t> bits((static_cast<size_t>(trie.vocab_size()) + 63) / 64, 0);
          masks.add(state, bits);
          std::vector<int32_t> allowed;
          for (int32_t id = 0; id < trie.vocab_size(); ++id)
            if (has(bits, id)) allowed.push_back(id);
          ASSERT_FALSE(allowed.empty()) << text;
          const auto vocab = static_cast<size_t>(trie.vocab_size());
          for (size_t i = 0; i < std::min(vocab, most_questions); ++i) {
            const auto id = static_cast<int32_t>(vocab <= most_questions ? i : below(random, vocab));
            ASSERT_EQ(masks.advance(state, id) != Grammar::kNothing, has(bits, id))
                << text << " token " << trie.bytes(id);
          }
          state = masks.advance(state, allowed[below(random, allowed.size())]);
        }
      }
    }
  }
}

TEST(TokenMasks, AreExactOnTheTinyVocabulary) {
  compare_walks(tiny(), 12, 40, 1 << 20);
}

TEST(TokenMasks, AreExactOnTheRealVocabulary) {
  if (!test::real().tokenizer) GTEST_SKIP() << test::real().why_not;
  compare_walks(*test::real().tokenizer, 2, 16, 3000);
}

TEST(TokenTrie, HasEveryTextTokenOnce) {
  const TokenTrie trie(tiny());
  std::vector<int> seen(static_cast<size_t>(tiny().vocab_size()));
  std::string path;
  for (const TokenTrie::Node& n : trie.nodes()) {
    path.resize(n.depth == 0 ? 0 : static_cast<size_t>(n.depth) - 1);
    if (n.depth > 0) path += static_cast<char>(n.byte);
    for (int32_t t = n.tokens; t < n.tokens_end; ++t) {
      ++seen[static_cast<size_t>(trie.tokens()[static_cast<size_t>(t)])];
      EXPECT_EQ(trie.bytes(trie.tokens()[static_cast<size_t>(t)]), path);
    }
  }
  for (int32_t id = 0; id < tiny().vocab_size(); ++id) {
    const bool quote = tiny().find("<|\"|>") == id;
    const std::string_view text = tiny().token_bytes(id);
    const bool never = text.size() == 1 && !is_utf8(text) &&
                       (static_cast<uint8_t>(text[0]) >= 0xF5 || (text[0] & 0xFE) == 0xC0);
    EXPECT_EQ(seen[static_cast<size_t>(id)], quote || (!tiny().is_control(id) && !never)) << text;
  }
}

}  // namespace
}  // namespace tessera
