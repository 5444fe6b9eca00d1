#pragma once
// What the tests of src/text share: the tiny tokenizer, fixture files, random text.
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "base/file_map.h"
#include "text/json_tree.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace tessera::test {

inline std::string fixture(const std::string& name) {
  return read_text_file(std::string(TESSERA_SOURCE_DIR "/tests/fixtures/") + name, int64_t{64} << 20);
}

inline const std::string& tiny_json() {
  static const std::string json = fixture("tiny/tokenizer.json");
  return json;
}

inline const Tokenizer& tiny() {
  static const Tokenizer tokenizer = Tokenizer::from_json(tiny_json(), "tiny/tokenizer.json");
  return tokenizer;
}

inline Json fixture_json(const std::string& name) {
  return parse_json(fixture(name), ErrorKind::kIo, name, {.max_depth = 64, .max_keys = 1 << 20});
}

/// The tiny tokenizer.json with `change` applied to its tree.
template <typename Change>
std::string changed_tiny_json(Change change) {
  Json tree = fixture_json("tiny/tokenizer.json");
  change(tree);
  return tree.dump();
}

using Random = std::mt19937_64;

inline size_t below(Random& random, size_t n) {
  return static_cast<size_t>(random() % n);
}

/// Any byte; `marker` now and then, so that interesting places are reached.
inline std::string random_bytes(Random& random, size_t length) {
  std::string text;
  for (size_t i = 0; i < length; ++i) text.push_back(static_cast<char>(random()));
  return text;
}

/// Valid UTF-8: words of the tiny vocabulary, spaces, line breaks, control tokens, any code point.
inline std::string random_text(Random& random, size_t pieces) {
  static constexpr std::string_view kPieces[] = {
      " ",      "  ",         "\n",      "\n\n", "the", "ing",     "self",  "\u2581",
      "\t",     "<|turn>",    "<turn|>", "<|",   "|>",  "<|image", "0",     "\u00e9",
      "\u65e5", "\U0001F999", "return",  "e",    "s",   ",",       "<0x41>"};
  std::string text;
  for (size_t i = 0; i < pieces; ++i) {
    if (random() % 4 != 0) {
      text += kPieces[below(random, std::size(kPieces))];
      continue;
    }
    const auto code = static_cast<char32_t>(random() % (random() % 2 == 0 ? 0x80 : 0x110000));
    if (code < 0xD800 || code > 0xDFFF) append_utf8(text, code);
  }
  return text;
}

/// One of the things that happen to files: bytes flipped, cut, doubled, replaced by syntax.
inline std::string mutated(std::string text, Random& random) {
  static constexpr std::string_view kSyntax[] = {
      "{",   "}",       "[", "]", ",", ":", "\"", "null", "-1", "1e999", "true", "[[", "99999999999999999999",
      "\\u", "\\ud800", "<", "|>"};
  for (size_t edits = 1 + below(random, 3); edits > 0 && !text.empty(); --edits) {
    const size_t at = below(random, text.size());
    const size_t length = std::min(text.size() - at, 1 + below(random, 24));
    switch (random() % 6) {
      case 0:
        text[at] = static_cast<char>(random());
        break;
      case 1:
        text.erase(at, length);
        break;
      case 2:
        text.insert(at, text.substr(at, length));
        break;
      case 3:
        text.resize(at);
        break;
      case 4:
        text.insert(at, kSyntax[below(random, std::size(kSyntax))]);
        break;
      default:
        text.replace(at, length, kSyntax[below(random, std::size(kSyntax))]);
        break;
    }
  }
  return text;
}

}  // namespace tessera::test
