#pragma once
// Characters, strings and patterns as languages over bytes, in the two ways in which a reply writes strings.
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/grammar.h"

namespace tessera {

enum class StringSyntax {
  kJson,  // "…" with escapes
  kCall,  // between two <|"|>, verbatim (docs/spec/tokenizer.md §4.3)
};

struct CodeRange {
  char32_t first = 0, last = 0;
};
inline constexpr CodeRange kAnyCode[] = {{0, 0x10FFFF}};

/// Code points as UTF-8; surrogates are left out.
Grammar::State utf8_of(Grammar& grammar, std::span<const CodeRange> codes);

/// One character inside a string. JSON: itself, or escaped where it must be. Calls: without control
/// characters other than tab and line breaks.
Grammar::State character(Grammar& grammar, std::span<const CodeRange> codes, StringSyntax syntax);
/// Any character, JSON's with every way to write it: surrogates only in pairs.
Grammar::State any_character(Grammar& grammar, StringSyntax syntax);

/// What stands between the quotation marks, put between them: a piece of its own (Grammar::unit).
Grammar::State quoted(Grammar& grammar, Grammar::State inside, StringSyntax syntax);
/// The text of a string, without quotation marks, as character() writes it.
std::string string_text(std::string_view utf8, StringSyntax syntax);

/// The inside of strings that an ECMA 262 pattern matches: anywhere, unless anchored. Of its syntax:
/// characters, escapes (\d \w \s \n \xHH \uHHHH …), classes, groups, |, * + ? {m,n}, ^ and $ at the ends.
/// Throws Error(kBadRequest) naming `where` for the rest (look-around, back references, \b, \p), kTooLarge
/// for nested counts whose product is over 10,000.
Grammar::State pattern_text(Grammar& grammar, std::string_view pattern, StringSyntax syntax,
                            const std::string& where);

/// The pattern of a `format`; "" for one that is not known, which says nothing by JSON Schema's letter.
std::string_view format_pattern(std::string_view format);

}  // namespace tessera
