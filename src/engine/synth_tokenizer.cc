// The stand-in tokenizer.json of a synthetic checkpoint.
#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "engine/synth_files.h"

namespace tessera {
namespace {

using OrderedJson = nlohmann::ordered_json;
using Control = std::vector<std::pair<int, const char*>>;

constexpr const char* kSpace = "\u2581";  // the normalizer's replacement of ' '

constexpr int kLongestRun = 31;  // of newlines or spaces in one token

// docs/spec/tokenizer.md §2, and tests/fixtures/tiny/tokenizer.json.
const Control k12BControl = {{0, "<pad>"},
                             {1, "<eos>"},
                             {2, "<bos>"},
                             {3, "<unk>"},
                             {4, "<mask>"},
                             {46, "<|tool>"},
                             {47, "<tool|>"},
                             {48, "<|tool_call>"},
                             {49, "<tool_call|>"},
                             {50, "<|tool_response>"},
                             {51, "<tool_response|>"},
                             {52, "<|\"|>"},
                             {98, "<|think|>"},
                             {100, "<|channel>"},
                             {101, "<channel|>"},
                             {105, "<|turn>"},
                             {106, "<turn|>"},
                             {255999, "<|image>"},
                             {256000, "<|audio>"},
                             {258880, "<|image|>"},
                             {258881, "<|audio|>"},
                             {258882, "<image|>"},
                             {258883, "<audio|>"},
                             {258884, "<|video|>"}};
const Control kTinyControl = {{0, "<pad>"},
                              {1, "<eos>"},
                              {2, "<bos>"},
                              {3, "<unk>"},
                              {4, "<mask>"},
                              {5, "<|tool>"},
                              {6, "<tool|>"},
                              {7, "<|tool_call>"},
                              {8, "<tool_call|>"},
                              {9, "<|tool_response>"},
                              {10, "<tool_response|>"},
                              {11, "<|\"|>"},
                              {12, "<|think|>"},
                              {13, "<|channel>"},
                              {14, "<channel|>"},
                              {15, "<|turn>"},
                              {16, "<turn|>"},
                              {17, "<|image>"},
                              {18, "<image|>"},
                              {19, "<|image|>"},
                              {20, "<|audio>"},
                              {21, "<audio|>"},
                              {22, "<|audio|>"},
                              {23, "<|video|>"}};

std::string repeat(const char* text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

/// A vocabulary with dense ids, and merges in rank order.
class Builder {
 public:
  explicit Builder(int size) : tokens_(static_cast<size_t>(size)) {}

  void put(int id, const std::string& text) {
    tokens_.at(static_cast<size_t>(id)) = text;
    ids_[text] = id;
  }
  /// At the first free id from `from` on, unless the text has one already.
  void put_free(int from, const std::string& text) {
    if (ids_.contains(text)) return;
    auto id = static_cast<size_t>(from);
    while (!tokens_.at(id).empty()) ++id;
    put(static_cast<int>(id), text);
  }
  void merge(const std::string& left, const std::string& right) { merges_.emplace_back(left, right); }

  /// Runs of up to kLongestRun of `unit`: powers of two first, so that any run ends as one token.
  void merge_runs(const char* unit) {
    for (int n = 1; 2 * n <= kLongestRun; n *= 2) merge(repeat(unit, n), repeat(unit, n));
    for (int total = 3; total <= kLongestRun; ++total)
      for (int left = 1; left < total; ++left)
        if (2 * left != total || (left & (left - 1)) != 0)
          merge(repeat(unit, left), repeat(unit, total - left));
  }
  /// A word of ASCII letters, merged from left to right; its beginnings take free ids.
  void put_word(const std::string& word, int free_from) {
    for (size_t n = 1; n < word.size(); ++n) {
      put_free(free_from, word.substr(0, n + 1));
      merge(word.substr(0, n), word.substr(n, 1));
    }
  }
  /// Bytes "<0x00>" … "<0xFF>" from `first` on.
  void put_bytes(int first) {
    for (int b = 0; b < 256; ++b) put(first + b, fmt::format("<0x{:02X}>", b));
  }
  void put_printable_ascii(int from) {
    for (char c = '!'; c <= '~'; ++c) put_free(from, std::string(1, c));
  }

  std::string json(const Control& control) const {
    OrderedJson top = {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}};
    for (const auto& [id, content] : control)
      top["added_tokens"].push_back({{"id", id},
                                     {"content", content},
                                     {"single_word", false},
                                     {"lstrip", false},
                                     {"rstrip", false},
                                     {"normalized", false},
                                     {"special", true}});
    const OrderedJson to_space = {{"type", "Replace"}, {"pattern", {{"String", kSpace}}}, {"content", " "}};
    top["normalizer"] = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpace}};
    top["pre_tokenizer"] = {{"type", "Split"},
                            {"pattern", {{"String", " "}}},
                            {"behavior", "MergedWithPrevious"},
                            {"invert", false}};
    top["post_processor"] = nullptr;
    top["decoder"]["type"] = "Sequence";
    top["decoder"]["decoders"] =
        OrderedJson::array({to_space, {{"type", "ByteFallback"}}, {{"type", "Fuse"}}});

    // The vocabulary is written as text: inserting 262,144 names into an ordered_json takes quadratic time.
    std::string text = top.dump();
    text.back() = ',';
    text +=
        "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":\"<unk>\",\"continuing_subword_prefix\":"
        "null,"
        "\"end_of_word_suffix\":null,\"fuse_unk\":true,\"byte_fallback\":true,\"ignore_merges\":false,"
        "\"vocab\":{";
    for (size_t id = 0; id < tokens_.size(); ++id) {
      const std::string name = tokens_[id].empty() ? fmt::format("<unused{}>", id) : tokens_[id];
      fmt::format_to(std::back_inserter(text), "{}{}:{}", id == 0 ? "" : ",", OrderedJson(name).dump(), id);
    }
    text += "},\"merges\":" + OrderedJson(merges_).dump() + "}}\n";
    return text;
  }

 private:
  std::vector<std::string> tokens_;  // by id; "" is free
  std::map<std::string, int> ids_;
  std::vector<std::pair<std::string, std::string>> merges_;
};

/// The ids of white space, digits and role names that the spec states (tokenizer.md §1, §2).
void put_published_ids(Builder& builder) {
  for (int n = 1; n <= kLongestRun; ++n) builder.put(106 + n, repeat("\n", n));
  for (int n = 2; n <= kLongestRun; ++n) builder.put(136 + n, repeat(kSpace, n));
  const std::pair<int, const char*> known[] = {
      {236743, kSpace}, {255968, "\t"},  {236771, "0"},    {236770, "1"},     {236778, "2"},
      {236800, "3"},    {236812, "4"},   {236832, "7"},    {236828, "8"},     {236819, "9"},
      {2364, "user"},   {4368, "model"}, {9731, "system"}, {45518, "thought"}};
  for (const auto& [id, text] : known) builder.put(id, text);
}

}  // namespace

std::string synth_tokenizer_json(bool tiny) {
  const Control& control = tiny ? kTinyControl : k12BControl;
  Builder builder(tiny ? 1024 : 262144);
  for (const auto& [id, content] : control) builder.put(id, content);
  const int first_byte = tiny ? 24 : 238, first_character = tiny ? 280 : 236743;
  const int first_word = tiny ? 512 : 261000;  // for beginnings of words; their published ids are not known
  builder.put_bytes(first_byte);
  if (!tiny) put_published_ids(builder);
  builder.put_free(first_character, kSpace);
  builder.put_free(first_character, "\n");
  builder.put_printable_ascii(first_character);
  for (const char* unit : {"\n", kSpace}) {
    for (int n = 2; n <= kLongestRun; ++n) builder.put_free(first_word, repeat(unit, n));
    builder.merge_runs(unit);
  }
  for (const char* role : {"user", "model", "system", "thought"}) builder.put_word(role, first_word);
  return builder.json(control);
}

}  // namespace tessera
