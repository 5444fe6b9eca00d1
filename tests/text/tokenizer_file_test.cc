// tokenizer.json from hostile hands: every contradiction is an Error that names the file, nothing else
// happens.
#include <gtest/gtest.h>

#include <functional>

#include "fixtures.h"
#include "text/tokenizer.h"

namespace tessera {
namespace {

using test::Random;

std::string error_of(const std::string& json) {
  try {
    Tokenizer::from_json(json, "dir/tokenizer.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadModel);
    return error.what();
  }
  return "no error";
}

struct BadFile {
  const char* what;
  std::function<void(Json&)> change;
  const char* message;  // part of it
};

TEST(TokenizerFile, RefusesContradictions) {
  const std::vector<BadFile> cases = {
      {"no model", [](Json& t) { t.erase("model"); }, "model is null, expected an object"},
      {"model a list", [](Json& t) { t["model"] = Json::array(); }, "model is an array"},
      {"no type", [](Json& t) { t["model"].erase("type"); }, "model.type is null, expected \"BPE\""},
      {"unigram", [](Json& t) { t["model"]["type"] = "Unigram"; },
       "model.type is \"Unigram\", expected \"BPE\""},
      {"no vocab", [](Json& t) { t["model"].erase("vocab"); }, "model.vocab is missing"},
      {"vocab a list", [](Json& t) { t["model"]["vocab"] = Json::array(); }, "model.vocab is an array"},
      {"vocab null", [](Json& t) { t["model"]["vocab"] = nullptr; }, "model.vocab is null"},
      {"no merges", [](Json& t) { t["model"].erase("merges"); }, "model.merges is missing"},
      {"empty merges", [](Json& t) { t["model"]["merges"] = Json::array(); }, "model.merges is empty"},
      {"merges an object", [](Json& t) { t["model"]["merges"] = Json::object(); },
       "model.merges is an object"},
      {"a merge of three", [](Json& t) { t["model"]["merges"][7].push_back("x"); },
       "model.merges[7] is a list of more"},
      {"a merge of one", [](Json& t) { t["model"]["merges"][7].erase(0); }, "model.merges[7] is a list of 1"},
      {"a merge of numbers",
       [](Json& t) {
         t["model"]["merges"][7] = {1, 2};
       },
       "model.merges[7] is a number"},
      {"a merge of one word", [](Json& t) { t["model"]["merges"][7] = "ab"; }, "exactly one space"},
      {"a merge of three words", [](Json& t) { t["model"]["merges"][7] = "a b c"; }, "exactly one space"},
      {"a merge nested",
       [](Json& t) {
         t["model"]["merges"][7] = Json::array({Json::array({"a"}), Json::array({"b"})});
       },
       "model.merges[7]"},
      {"unknown merge", [](Json& t) { t["model"]["merges"][9][0] = "zz?"; },
       "\"zz?\" is not in the vocabulary"},
      {"unknown result",
       [](Json& t) {
         t["model"]["merges"][9] = {"x", "z"};
       },
       "\"xz\" is not in the vocabulary"},
      {"negative id", [](Json& t) { t["model"]["vocab"]["a"] = -1; }, "\"a\" with id -1"},
      {"huge id", [](Json& t) { t["model"]["vocab"]["a"] = UINT64_MAX; }, "ids must be 0 to 1023"},
      {"large id", [](Json& t) { t["model"]["vocab"]["a"] = 2000000000; }, "ids must be 0 to 1023"},
      {"fraction", [](Json& t) { t["model"]["vocab"]["a"] = 1.5; },
       "model.vocab[\"a\"] is a number with a fraction"},
      {"id a string", [](Json& t) { t["model"]["vocab"]["a"] = "5"; }, "model.vocab[\"a\"] is a string"},
      {"id a list", [](Json& t) { t["model"]["vocab"]["a"] = {5}; }, "model.vocab[\"a\"] is an array"},
      {"two of an id", [](Json& t) { t["model"]["vocab"]["a"] = 346; }, "another token has this id"},
      {"gap", [](Json& t) { t["model"]["vocab"].erase("sum"), t["model"]["vocab"]["new"] = 1024; }, "1024"},
      {"token left out", [](Json& t) { t["model"]["vocab"].erase("~"); }, "ids must be 0 to 1022"},
      {"empty token", [](Json& t) { t["model"]["vocab"][""] = 1024; }, "empty token"},
      {"unk unknown", [](Json& t) { t["model"]["unk_token"] = "<huh>"; }, "unk_token \"<huh>\" is not"},
      {"unk a number", [](Json& t) { t["model"]["unk_token"] = 3; }, "model.unk_token is a number"},
      {"dropout", [](Json& t) { t["model"]["dropout"] = 0.1; }, "model.dropout"},
      {"prefix", [](Json& t) { t["model"]["continuing_subword_prefix"] = "##"; },
       "continuing_subword_prefix"},
      {"ignore_merges", [](Json& t) { t["model"]["ignore_merges"] = true; }, "model.ignore_merges is true"},
      {"byte_fallback a string", [](Json& t) { t["model"]["byte_fallback"] = "yes"; }, "model.byte_fallback"},
      {"no normalizer", [](Json& t) { t["normalizer"] = nullptr; }, "normalizer is another one"},
      {"other normalizer", [](Json& t) { t["normalizer"]["content"] = "_"; }, "normalizer is another one"},
      {"other pre-tokenizer",
       [](Json& t) {
         t["pre_tokenizer"] = {{"type", "ByteLevel"}};
       },
       "pre_tokenizer"},
      {"no added_tokens", [](Json& t) { t.erase("added_tokens"); }, "added_tokens is null"},
      {"added without id", [](Json& t) { t["added_tokens"][3].erase("id"); }, "added_tokens[3].id is null"},
      {"added not an object", [](Json& t) { t["added_tokens"][3] = 7; }, "added_tokens[3].id"},
      {"added id negative", [](Json& t) { t["added_tokens"][3]["id"] = -3; }, "added_tokens[3].id"},
      {"added id far", [](Json& t) { t["added_tokens"][3]["id"] = 5000; }, "ids must be 0 to 1024"},
      {"added id huge", [](Json& t) { t["added_tokens"][3]["id"] = UINT64_MAX; }, "added_tokens[3].id"},
      {"added elsewhere", [](Json& t) { t["added_tokens"][3]["id"] = 345; },
       "the vocabulary has \"a\" there"},
      {"added twice", [](Json& t) { t["added_tokens"].push_back(t["added_tokens"][3]); }, "a token twice"},
      {"added empty", [](Json& t) { t["added_tokens"][3]["content"] = ""; },
       "added_tokens[3].content is 0 bytes"},
      {"added long", [](Json& t) { t["added_tokens"][3]["content"] = std::string(257, '<'); }, "257 bytes"},
      {"added stripping", [](Json& t) { t["added_tokens"][3]["lstrip"] = true; },
       "added_tokens[3].lstrip is true"},
  };
  for (const BadFile& bad : cases) {
    const std::string message = error_of(test::changed_tiny_json(bad.change));
    EXPECT_NE(message.find(bad.message), std::string::npos) << bad.what << ": " << message;
    EXPECT_EQ(message.find("dir/tokenizer.json: "), 0U) << bad.what << ": " << message;
  }
}

TEST(TokenizerFile, RefusesWhatIsNotJson) {
  const std::string& good = test::tiny_json();
  for (const std::string& json :
       {std::string(), std::string("{"), std::string("null"), std::string("[]"), std::string("\xFF\xFE{}"),
        good.substr(0, good.size() / 2), good + "x", std::string("{\"model\": {\"vocab\": {\"a\"")}) {
    EXPECT_NE(error_of(json), "no error") << json.substr(0, 20);
  }
  EXPECT_NE(error_of(good.substr(0, 5000)).find("at byte 5000 of 5000"), std::string::npos);
  for (const char* open : {"[", "{\"a\":", "{\"model\":{\"merges\":[[", "{\"model\":{\"vocab\":{\"a\":["}) {
    std::string deep;
    for (int i = 0; i < 200000; ++i) deep += open;
    EXPECT_NE(error_of(deep), "no error") << open;
  }
}

TEST(TokenizerFile, RefusesKeysGivenTwice) {
  const std::string vocab = R"("vocab": {"a": 0, "b": 1, "ab": 2})", merges = R"("merges": [["a", "b"]])";
  const auto file = [](const std::string& model) {
    return R"({"normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}, "added_tokens": [],
               "model": {"type": "BPE", )" +
           model + "}}";
  };
  EXPECT_EQ(error_of(file(vocab + ", " + merges)), "no error");
  EXPECT_NE(error_of(file(vocab + ", " + vocab + ", " + merges)).find("model.vocab is there twice"),
            std::string::npos);
  EXPECT_NE(error_of(file(vocab + ", " + merges + ", " + merges)).find("model.merges is there twice"),
            std::string::npos);
  EXPECT_NE(
      error_of(file(R"("vocab": {"a": 0, "b": 1, "a": 2}, )" + merges)).find("this token is there twice"),
      std::string::npos);
}

TEST(TokenizerFile, ReadsBothFormsOfMergesInAnyOrder) {
  const std::string joined = test::changed_tiny_json([](Json& tree) {
    Json merges = Json::array();
    for (const Json& pair : tree["model"]["merges"]) {
      merges.push_back(pair[0].get<std::string>() + " " + pair[1].get<std::string>());
    }
    Json model = {{"merges", merges}};  // before the vocabulary
    for (const auto& [key, value] : tree["model"].items()) {
      if (key != "merges") model[key] = value;
    }
    tree["model"] = model;
  });
  const Tokenizer tokenizer = Tokenizer::from_json(joined, "joined");
  EXPECT_EQ(tokenizer.merges(), test::tiny().merges());
  const std::string text = "The quick brown self.return  value\n\n==== <|turn>";
  EXPECT_EQ(tokenizer.encode(text), test::tiny().encode(text));
}

TEST(TokenizerFile, AddedTokensMayFollowTheVocabulary) {
  const std::string json = test::changed_tiny_json([](Json& tree) {
    tree["added_tokens"].push_back({{"id", 1024}, {"content", "<extra>"}, {"special", false}});
    tree["normalizer"] = {{"type", "Sequence"}, {"normalizers", Json::array({tree["normalizer"]})}};
  });
  const Tokenizer tokenizer = Tokenizer::from_json(json, "extra");
  EXPECT_EQ(tokenizer.vocab_size(), 1025);
  EXPECT_EQ(tokenizer.encode("a<extra>"), (std::vector<int32_t>{345, 1024}));
  EXPECT_FALSE(tokenizer.is_control(1024));
  EXPECT_EQ(tokenizer.decode(std::vector<int32_t>{1024}), "<extra>");
}

// Whatever happens to the file: an Error(kBadModel), or a tokenizer that works.
TEST(TokenizerFile, SurvivesMutation) {
  const std::string text = "The <|turn> quick\n\n brown \xFF\u00e9 self.return(x) <|image|>";
  // A small file, so that most edits hit something; every 20th round the whole one.
  const std::string small = test::changed_tiny_json([](Json& tree) {
    Json vocab = Json::object();
    for (const auto& [key, value] : tree["model"]["vocab"].items()) {
      if (value.get<int>() < 30) vocab[key] = value;
    }
    for (const char* token : {"a", "b", "ab", "\u2581", "\u2581ab"}) vocab[token] = vocab.size();
    tree["model"]["vocab"] = vocab;
    tree["model"]["merges"] = Json::array({Json::array({"a", "b"}), Json::array({"\u2581", "ab"})});
  });
  ASSERT_EQ(error_of(small), "no error");
  int loaded = 0, refused = 0;
  for (uint64_t seed = 1; seed <= 6000; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const std::string json = test::mutated(seed % 20 == 0 ? test::tiny_json() : small, random);
    try {
      const Tokenizer tokenizer = Tokenizer::from_json(json, "mutated");
      const std::vector<int32_t> ids = tokenizer.encode(text);
      EXPECT_TRUE(is_utf8(tokenizer.decode(ids)));
      ++loaded;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kBadModel) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(loaded, 100);
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace tessera
