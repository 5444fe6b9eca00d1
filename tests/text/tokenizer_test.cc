// Text ↔ ids: the goldens of the tiny tokenizer, and properties against an independent, quadratic encoder.
#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <map>

#include "base/error.h"
#include "fixtures.h"
#include "text/detokenizer.h"

namespace tessera {
namespace {

using test::below;
using test::Random;
using test::tiny;

const Json& tokenizer_case() {
  static const Json cases = test::fixture_json("tiny/cases.json");
  for (const Json& c : cases) {
    if (c.at("name") == "tokenizer") return c.at("texts");
  }
  throw std::runtime_error("tiny/cases.json has no case named tokenizer");
}

TEST(Tokenizer, EncodesTheTinyGoldens) {
  ASSERT_GE(tokenizer_case().size(), 12U);
  for (const Json& row : tokenizer_case()) {
    const auto text = row.at("text").get<std::string>();
    EXPECT_EQ(tiny().encode(text), row.at("ids").get<std::vector<int32_t>>()) << text;
  }
}

TEST(Tokenizer, DecodesTheTinyGoldens) {
  for (const Json& row : tokenizer_case()) {
    const auto ids = row.at("ids").get<std::vector<int32_t>>();
    EXPECT_EQ(tiny().decode(ids), row.at("decoded").get<std::string>());
    Detokenizer stream(tiny());
    std::string text;
    for (const int32_t id : ids) text += stream.push(id);
    EXPECT_EQ(text + stream.finish(), row.at("decoded").get<std::string>());
  }
}

TEST(Tokenizer, KnowsItsVocabulary) {
  EXPECT_EQ(tiny().vocab_size(), 1024);
  EXPECT_EQ(tiny().merges(), 646);
  ASSERT_EQ(tiny().control_tokens().size(), 24U);
  EXPECT_EQ(tiny().control_tokens().front().text, "<pad>");
  EXPECT_EQ(tiny().control_tokens().back().text, "<|video|>");
  EXPECT_EQ(tiny().find("<|turn>"), 15);
  EXPECT_EQ(tiny().find("\u2581"), 377);
  EXPECT_EQ(tiny().find("no such token"), std::nullopt);
  EXPECT_EQ(tiny().token_bytes(377), " ");
  EXPECT_EQ(tiny().token_bytes(24 + 0xC3), "\xC3");
  EXPECT_EQ(tiny().token_bytes(15), "<|turn>");
  EXPECT_TRUE(tiny().is_control(15));
  for (const int32_t id : {-1, 24, 377, 1024, INT32_MAX}) EXPECT_FALSE(tiny().is_control(id)) << id;
}

TEST(Tokenizer, RefusesIdsOutsideTheVocabulary) {
  for (const int32_t id : {-1, 1024, INT32_MAX, INT32_MIN}) {
    EXPECT_THROW((void)tiny().token_bytes(id), Error) << id;
    EXPECT_THROW((void)tiny().decode(std::vector<int32_t>{320, id}), Error) << id;
    EXPECT_THROW((void)tiny().decode(std::vector<int32_t>{24, id}), Error) << id;
  }
}

TEST(Tokenizer, DecodesByteRunsAsTheReference) {
  const auto bytes = [](std::initializer_list<int> values) {
    std::vector<int32_t> ids;
    for (const int v : values) ids.push_back(24 + v);
    return ids;
  };
  const std::string bad = "\uFFFD";
  EXPECT_EQ(tiny().decode(bytes({0xE5, 0x8F, 0xAB})), "\u53eb");
  EXPECT_EQ(tiny().decode(bytes({0xE5, 0x8F})), bad + bad);
  EXPECT_EQ(tiny().decode(bytes({0xC3, 0xA9, 0xFF})), bad + bad + bad);  // one bad byte spoils the whole run
  std::vector<int32_t> mixed = bytes({0xE5, 0x8F});
  mixed.push_back(345);
  EXPECT_EQ(tiny().decode(mixed), bad + bad + "a");
  // A U+2581 that comes from bytes is not a space: the reference replaces before it joins bytes.
  EXPECT_EQ(tiny().decode(bytes({0xE2, 0x96, 0x81})), "\u2581");
}

TEST(Tokenizer, ParsesTheLongestControlToken) {
  const auto id = [](std::string_view token) { return tiny().find(token).value(); };
  EXPECT_EQ(tiny().encode("<|image><|image|><image|>"),
            (std::vector<int32_t>{id("<|image>"), id("<|image|>"), id("<image|>")}));
  EXPECT_EQ(tiny().encode("<|tool_response><|tool_call><|tool>"),
            (std::vector<int32_t>{id("<|tool_response>"), id("<|tool_call>"), id("<|tool>")}));
  // Neighbours are not trimmed, and a broken marker is text.
  EXPECT_EQ(tiny().encode(" <turn|> "), (std::vector<int32_t>{377, id("<turn|>"), 377}));
  for (const std::string text : {"<|turn", "<|tool_cal>", "<|<turn>|>", "</s>", "<start_of_turn>"}) {
    for (const int32_t token : tiny().encode(text)) EXPECT_FALSE(tiny().is_control(token)) << text;
  }
  EXPECT_EQ(tiny().encode("<|<|turn>").back(), id("<|turn>"));
}

TEST(Tokenizer, BytesThatAreNotUtf8BecomeByteTokens) {
  EXPECT_EQ(tiny().encode("\xFF"), (std::vector<int32_t>{24 + 0xFF}));
  EXPECT_EQ(tiny().encode("a\xE2\x96"), (std::vector<int32_t>{345, 24 + 0xE2, 24 + 0x96}));
  EXPECT_EQ(tiny().encode("\xED\xA0\x80"),
            (std::vector<int32_t>{24 + 0xED, 24 + 0xA0, 24 + 0x80}));                  // surrogate
  EXPECT_EQ(tiny().encode("\xC0\xAF"), (std::vector<int32_t>{24 + 0xC0, 24 + 0xAF}));  // overlong
}

TEST(Tokenizer, RoundTripsEverything) {
  for (uint64_t seed = 1; seed <= 3000; ++seed) {
    Random random(seed);
    const bool bytes = seed % 2 == 0;
    const std::string text =
        bytes ? test::random_bytes(random, below(random, 200)) : test::random_text(random, below(random, 80));
    std::string expected;  // a typed U+2581 comes back as a space
    for (size_t at = 0; at < text.size();) {
      const bool mark = text.compare(at, 3, "\u2581") == 0;
      expected += mark ? " " : text.substr(at, 1);
      at += mark ? 3 : 1;
    }
    const std::vector<int32_t> ids = tiny().encode(text);
    std::string joined;
    for (const int32_t id : ids) joined += tiny().token_bytes(id);
    ASSERT_EQ(joined, expected) << "seed " << seed;
    Detokenizer stream(tiny());
    std::string streamed;
    for (const int32_t id : ids) {
      streamed += stream.push(id);
      ASSERT_TRUE(is_utf8(streamed)) << "seed " << seed;
    }
    streamed += stream.finish();
    ASSERT_TRUE(is_utf8(tiny().decode(ids))) << "seed " << seed;
    if (!bytes) {
      ASSERT_EQ(streamed, expected) << "seed " << seed;
      ASSERT_EQ(tiny().decode(ids), expected) << "seed " << seed;
    }
  }
}

// The definition, straight from the file: the lowest rank first, one merge at a time, no heap, no cutting.
class NaiveEncoder {
 public:
  explicit NaiveEncoder(const std::string& json) {
    const Json tree = parse_json(json, ErrorKind::kIo, "naive", {.max_depth = 64, .max_keys = 1 << 20});
    for (const auto& [token, id] : tree.at("model").at("vocab").items())
      vocabulary_[token] = id.get<int32_t>();
    int rank = 0;
    for (const Json& pair : tree.at("model").at("merges")) {
      ranks_[{pair.at(0).get<std::string>(), pair.at(1).get<std::string>()}] = rank++;
    }
  }
  std::vector<int32_t> encode(const std::string& text) const {
    std::vector<std::string> symbols;
    for (size_t at = 0; at < text.size();) {
      const auto bytes = static_cast<size_t>(read_utf8(text, at).bytes);
      std::string symbol = text.substr(at, bytes);
      if (symbol == " ") symbol = "\u2581";
      at += bytes;
      if (vocabulary_.count(symbol) > 0) {
        symbols.push_back(symbol);
        continue;
      }
      for (const char c : symbol) symbols.push_back(fmt::format("<0x{:02X}>", static_cast<uint8_t>(c)));
    }
    for (;;) {
      size_t best = symbols.size();
      int best_rank = INT32_MAX;
      for (size_t i = 0; i + 1 < symbols.size(); ++i) {
        const auto found = ranks_.find({symbols[i], symbols[i + 1]});
        if (found != ranks_.end() && found->second < best_rank) best = i, best_rank = found->second;
      }
      if (best == symbols.size()) break;
      symbols[best] += symbols[best + 1];
      symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
    std::vector<int32_t> ids;
    for (const auto& symbol : symbols) ids.push_back(vocabulary_.at(symbol));
    return ids;
  }

 private:
  std::map<std::string, int32_t> vocabulary_;
  std::map<std::pair<std::string, std::string>, int> ranks_;
};

TEST(Tokenizer, EqualsTheNaiveEncoder) {
  const NaiveEncoder naive(test::tiny_json());
  for (uint64_t seed = 1; seed <= 1500; ++seed) {
    Random random(seed);
    std::string text;
    for (size_t n = below(random, 120); n > 0; --n) {
      static constexpr std::string_view kParts[] = {"\u2581", " ",  "e",      "s",      "t",    "h",
                                                    "-",      "=",  "in",     "re",     "self", "\"",
                                                    "#",      "\n", "\u00e9", "return", "x",    ","};
      text += kParts[below(random, std::size(kParts))];
    }
    ASSERT_EQ(tiny().encode(text), naive.encode(text)) << "seed " << seed << ": " << text;
  }
}

// Random merge lists over a small alphabet: many ties, overlaps, and pairs that several merges produce.
TEST(Tokenizer, EqualsTheNaiveEncoderOnRandomMerges) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Random random(seed);
    std::vector<std::string> tokens = {"a", "b", "\u2581", "\u00e9"};
    Json merges = Json::array();
    for (int i = 0; i < 12; ++i) {
      const std::string left = tokens[below(random, tokens.size())],
                        right = tokens[below(random, tokens.size())];
      if (left.size() + right.size() > 12) continue;
      const Json pair = Json::array({left, right});
      if (std::find(merges.begin(), merges.end(), pair) != merges.end()) continue;
      merges.push_back(pair);
      if (std::find(tokens.begin(), tokens.end(), left + right) == tokens.end())
        tokens.push_back(left + right);
    }
    const std::string json = test::changed_tiny_json([&](Json& tree) {
      Json vocab = Json::object();
      for (const auto& token : tokens) vocab[token] = vocab.size();
      tree["model"]["vocab"] = vocab;
      tree["model"]["merges"] = merges;
      tree["model"]["unk_token"] = nullptr;
      tree["added_tokens"] = Json::array();
    });
    const Tokenizer tokenizer = Tokenizer::from_json(json, "random");
    const NaiveEncoder naive(json);
    for (int k = 0; k < 30; ++k) {
      std::string text;
      for (size_t n = below(random, 40); n > 0; --n) {
        static constexpr std::string_view kParts[] = {"a", "b", " ", "\u00e9"};
        text += kParts[below(random, 4)];
      }
      ASSERT_EQ(tokenizer.encode(text), naive.encode(text)) << "seed " << seed << ": " << text;
    }
  }
}

TEST(Tokenizer, UnknownCharactersWithoutByteTokens) {
  const auto with = [](bool fuse, const char* unk) {
    return Tokenizer::from_json(test::changed_tiny_json([&](Json& tree) {
                                  tree["model"]["byte_fallback"] = false;
                                  tree["model"]["fuse_unk"] = fuse;
                                  tree["model"]["unk_token"] = unk == nullptr ? Json() : Json(unk);
                                }),
                                "no bytes");
  };
  const std::string text = "a\u65e5\u672cb\u65e5";
  EXPECT_EQ(with(true, "<unk>").encode(text), (std::vector<int32_t>{345, 3, 346, 3}));
  EXPECT_EQ(with(false, "<unk>").encode(text), (std::vector<int32_t>{345, 3, 3, 346, 3}));
  EXPECT_EQ(with(true, nullptr).encode(text), tiny().encode("ab"));
  EXPECT_EQ(with(true, "<unk>").encode("\xFF\xFE"), (std::vector<int32_t>{3}));
}

TEST(Tokenizer, MergesOfByteTokensAreNotCut) {
  const std::string json = test::changed_tiny_json([](Json& tree) {
    tree["model"]["vocab"]["<0xC3><0xA9>"] = 1024;
    tree["model"]["merges"].push_back(Json::array({"<0xC3>", "<0xA9>"}));
  });
  const Tokenizer tokenizer = Tokenizer::from_json(json, "bytes");
  EXPECT_EQ(tokenizer.encode("caf\u00e9"), (std::vector<int32_t>{347, 345, 350, 1024}));
}

}  // namespace
}  // namespace tessera
