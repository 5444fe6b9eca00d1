#pragma once
// tokenizer.json, or lists of tokens and merges → one form, type-checked but not yet checked against each
// other.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/json_tree.h"

namespace tessera {

struct TokenizerParts;

inline constexpr size_t kMaxTokenizerFileBytes = size_t{1}
                                                 << 30;  // the published file has 32 MB; offsets: 32 bits
inline constexpr size_t kMaxAddedTokenBytes = 256;  // of one added token: bounds the work per byte of text

struct TokenizerFile {
  struct Token {
    int64_t id = 0;
    uint32_t begin = 0, length = 0;  // in `arena`
  };
  struct AddedToken {
    Token token;
    bool special = true;
  };
  struct Text {
    uint32_t begin = 0, length = 0;  // in `merge_arena`
  };

  std::string arena;              // the strings of all tokens
  std::vector<Token> vocabulary;  // model.vocab, in the file's order
  std::vector<AddedToken> added;  // added_tokens
  std::string merge_arena;
  std::vector<Text> merges;  // two per merge: left, right; lowest rank first
  std::string unk_token;     // empty: none
  bool byte_fallback = false, fuse_unk = false;
};

/// Reads and checks the settings this engine implements: BPE, spaces become U+2581 and nothing else is
/// normalised. Throws Error(kBadModel) with `name`, what was found and what is expected; Error(kTooLarge)
/// above 1 GiB.
TokenizerFile read_tokenizer_file(std::string_view json, const std::string& name);

/// The same of Tokenizer::from_parts. Throws as that does.
TokenizerFile read_tokenizer_parts(const TokenizerParts& parts, const std::string& name);

}  // namespace tessera
