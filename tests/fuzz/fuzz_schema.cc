// A JSON schema, a zero byte, a text: the schema gives a grammar or an error, soon; what the grammar takes is
// JSON.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/file_map.h"
#include "text/json_schema.h"
#include "text/token_masks.h"

namespace {

using namespace tessera;

void require(bool condition) {
  if (!condition) std::abort();
}

void walk(Grammar& grammar, Grammar::State root, const TokenTrie& trie, std::string_view choices) {
  TokenMasks masks(grammar, trie);
  Grammar::State state = root;
  std::string text;
  for (const char choice : choices.substr(0, 200)) {
    if (grammar.accepts(state)) require(Json::accept(text));
    std::vector<uint64_t> bits((static_cast<size_t>(trie.vocab_size()) + 63) / 64, 0);
    masks.add(state, bits);
    std::vector<int32_t> allowed;
    for (int32_t id = 0; id < trie.vocab_size(); ++id) {
      const bool in = (bits[static_cast<size_t>(id) / 64] >> (id % 64) & 1) != 0;
      require(in == (masks.advance(state, id) != Grammar::kNothing));
      if (in) allowed.push_back(id);
    }
    require(!allowed.empty() || state == Grammar::kEnd);
    if (allowed.empty()) return;
    const int32_t id = allowed[static_cast<uint8_t>(choice) % allowed.size()];
    state = masks.advance(state, id);
    text += trie.bytes(id);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Tokenizer tiny = Tokenizer::from_json(
      read_text_file(TESSERA_SOURCE_DIR "/tests/fixtures/tiny/tokenizer.json", 1 << 20), "tiny");
  static const TokenTrie trie(tiny);
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const size_t zero = std::min(all.find('\0'), size);
  try {
    const Json schema = parse_json(all.substr(0, zero), ErrorKind::kBadRequest, "fuzz");
    Grammar grammar(trie.max_token_bytes());
    const Grammar::State root = schema_text(grammar, schema, StringSyntax::kJson, "fuzz");
    walk(grammar, root, trie, all.substr(std::min(zero + 1, size)));
    Grammar calls(trie.max_token_bytes());
    object_text(calls, schema, StringSyntax::kCall, "fuzz");
  } catch (const Error& error) {
    require(error.kind() == ErrorKind::kBadRequest || error.kind() == ErrorKind::kTooLarge);
  }
  return 0;
}
