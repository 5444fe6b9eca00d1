#pragma once
// Detokenizer: a stream of token ids → text, whole UTF-8 characters only.
#include <string>
#include <string_view>

#include "text/tokenizer.h"

namespace tessera {

/// Turns bytes into whole UTF-8 characters; what cannot become one gives one U+FFFD per byte. Holds back at
/// most 3 bytes: the beginning of a character. The text does not depend on how the bytes are cut.
class Utf8Stream {
 public:
  std::string push(std::string_view bytes);
  /// The bytes held back, as U+FFFD; then empty again.
  std::string finish();

 private:
  std::string pending_;
};

/// One stream of ids; keeps a reference to the tokenizer. Equal to Tokenizer::decode when the byte tokens are
/// UTF-8.
class Detokenizer {
 public:
  explicit Detokenizer(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  /// Control tokens give their string. Throws Error(kBadRequest) for an id outside the vocabulary.
  std::string push(int32_t id) { return stream_.push(tokenizer_.token_bytes(id)); }
  std::string finish() { return stream_.finish(); }

 private:
  const Tokenizer& tokenizer_;
  Utf8Stream stream_;
};

}  // namespace tessera
