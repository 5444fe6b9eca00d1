// Random schemas: what masks let through is valid, and what is valid masks let through.
#include <gtest/gtest.h>

#include "real_vocabulary.h"
#include "schema_validator.h"
#include "text/json_schema.h"
#include "text/token_masks.h"

namespace tessera {
namespace {

using test::below;
using test::PlainJson;
using test::Random;

struct Walker {
  Walker(const TokenTrie& t, const PlainJson& schema)
      : trie(t),
        grammar(t.max_token_bytes()),
        state(schema_text(grammar, parse_json(schema.dump(), ErrorKind::kBadRequest, "test"),
                          StringSyntax::kJson, "test")),
        masks(grammar, t) {}
  std::vector<uint64_t> mask() {
    std::vector<uint64_t> bits((static_cast<size_t>(trie.vocab_size()) + 63) / 64, 0);
    masks.add(state, bits);
    return bits;
  }
  const TokenTrie& trie;
  Grammar grammar;
  Grammar::State state;
  TokenMasks masks;
};

bool has(const std::vector<uint64_t>& bits, int32_t id) {
  return (bits[static_cast<size_t>(id) / 64] >> (id % 64) & 1) != 0;
}

// Random tokens; when it gets long, those that bring it to an end.
std::optional<std::string> random_reply(Walker& w, Random& random) {
  std::string text;
  for (int step = 0; step < 400; ++step) {
    if (w.grammar.accepts(w.state) && (w.state == Grammar::kEnd || random() % 4 == 0)) return text;
    const std::vector<uint64_t> bits = w.mask();
    std::vector<int32_t> ids, closing;
    for (int32_t id = 0; id < w.trie.vocab_size(); ++id) {
      if (!has(bits, id)) continue;
      ids.push_back(id);
      const std::string_view bytes = w.trie.bytes(id);
      if (bytes == "\"" || bytes == "}" || bytes == "]" || bytes == "n" || bytes == "null")
        closing.push_back(id);
    }
    EXPECT_FALSE(ids.empty()) << "a dead end behind " << text;
    if (ids.empty()) return std::nullopt;
    const std::vector<int32_t>& from = !closing.empty() && (step > 30 || random() % 4 == 0) ? closing : ids;
    const int32_t id = from[below(random, from.size())];
    text += w.trie.bytes(id);
    w.state = w.masks.advance(w.state, id);
  }
  return std::nullopt;
}

void sound(const Tokenizer& tokenizer, int schemas, int walks) {
  const TokenTrie trie(tokenizer);
  Random random(3);
  int finished = 0;
  for (int i = 0; i < schemas; ++i) {
    test::RandomSchema made(random);
    Walker w(trie, made.schema());
    const Grammar::State root = w.state;
    for (int walk = 0; walk < walks; ++walk) {
      w.state = root;
      const std::optional<std::string> text = random_reply(w, random);
      if (!text) continue;
      ++finished;
      const PlainJson value = PlainJson::parse(*text, nullptr, false);
      ASSERT_FALSE(value.is_discarded()) << made.schema() << "\n" << *text;
      ASSERT_TRUE(test::validates(made.schema(), made.schema(), value)) << made.schema() << "\n" << *text;
    }
  }
  EXPECT_GT(finished, schemas * walks * 8 / 10);
}

// The text cut into tokens at random.
std::vector<int32_t> random_tokens(const TokenTrie& trie, std::string_view text, Random& random) {
  std::vector<int32_t> ids;
  for (size_t at = 0; at < text.size();) {
    std::vector<std::pair<int32_t, size_t>> ways;
    int32_t node = 0;
    for (size_t i = at; i < text.size(); ++i) {
      int32_t child = node + 1;
      const int32_t end = trie.nodes()[static_cast<size_t>(node)].end;
      while (child < end && trie.nodes()[static_cast<size_t>(child)].byte != static_cast<uint8_t>(text[i]))
        child = trie.nodes()[static_cast<size_t>(child)].end;
      if (child >= end) break;
      node = child;
      const TokenTrie::Node& n = trie.nodes()[static_cast<size_t>(node)];
      for (int32_t t = n.tokens; t < n.tokens_end; ++t)
        ways.emplace_back(trie.tokens()[static_cast<size_t>(t)], i + 1);
    }
    if (ways.empty()) return {};
    const auto& way = ways[below(random, ways.size())];
    ids.push_back(way.first);
    at = way.second;
  }
  return ids;
}

void complete(const Tokenizer& tokenizer, int schemas, int values) {
  const TokenTrie trie(tokenizer);
  Random random(4);
  for (int i = 0; i < schemas; ++i) {
    test::RandomSchema made(random);
    Walker w(trie, made.schema());
    const Grammar::State root = w.state;
    for (int k = 0; k < values; ++k) {
      const PlainJson value = made.value();
      ASSERT_TRUE(test::validates(made.schema(), made.schema(), value)) << made.schema() << "\n" << value;
      // Objects in enum are written without blanks; the other values may have them.
      const std::string text = value.dump();
      w.state = root;
      std::string done;
      for (const int32_t id :
           random() % 2 == 0 ? tokenizer.encode(text) : random_tokens(trie, text, random)) {
        ASSERT_TRUE(has(w.mask(), id)) << made.schema() << "\n"
                                       << text << "\nbehind " << done << " token " << trie.bytes(id);
        w.state = w.masks.advance(w.state, id);
        done += trie.bytes(id);
      }
      ASSERT_EQ(done, text);
      EXPECT_TRUE(w.grammar.accepts(w.state)) << made.schema() << "\n" << text;
    }
  }
}

TEST(SchemaProperty, RepliesThroughMasksAreValid) {
  sound(test::tiny(), 150, 4);
}
TEST(SchemaProperty, EveryValidValueCanBeWritten) {
  complete(test::tiny(), 150, 4);
}

TEST(SchemaProperty, TheSameOnTheRealVocabulary) {
  if (!test::real().tokenizer) GTEST_SKIP() << test::real().why_not;
  sound(*test::real().tokenizer, 6, 2);
  complete(*test::real().tokenizer, 12, 2);
}

}  // namespace
}  // namespace tessera
