#pragma once
// A tokenizer's parts → what other files hold them as: GGUF's lists, or a tokenizer.json.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer_file.h"

namespace tessera {

struct TokenLists {
  std::vector<std::string_view> tokens;  // by id; views into the TokenizerFile
  std::vector<int32_t> types;            // docs/spec/formats.md §2.1
  std::vector<std::string> merges;       // "left right"; a space inside a symbol is written as U+0120
};

/// The type of an id that no text becomes.
inline constexpr int32_t kUnusedToken = 5;

/// `name` for errors. Throws Error(kBadModel) when ids are not 0 … n - 1, each once.
TokenLists tokenizer_lists(const TokenizerFile& file, const std::string& name);

/// A tokenizer.json that read_tokenizer_file and Hugging Face tokenizers read as the same tokenizer.
std::string tokenizer_json(const TokenizerFile& file);

}  // namespace tessera
