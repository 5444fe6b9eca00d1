#pragma once
// UTF-8: one character at a time, strict (no overlong forms, no surrogates, nothing above U+10FFFF).
#include <cstdint>
#include <string>
#include <string_view>

namespace tessera {

inline constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

/// What starts at a byte: a whole character (`bytes` 1 … 4), the beginning of one that the text ends in
/// (`incomplete`, `bytes` = all that is left, 1 … 3), or neither (`bytes` 0).
struct Utf8Char {
  char32_t code = 0;  // of a whole character
  int bytes = 0;
  bool incomplete = false;
};

/// Reads at text[at]; `at` must be inside `text`. Pure.
Utf8Char read_utf8(std::string_view text, size_t at);

void append_utf8(std::string& out, char32_t code);

/// True when `text` is UTF-8 from begin to end.
bool is_utf8(std::string_view text);

}  // namespace tessera
