#pragma once
// The parts of Python that the chat template relies on: str.strip, str.lower, repr(float).
#include <string>
#include <string_view>

namespace tessera {

/// Without leading and trailing white space in Python's sense (U+0009-000D, 001C-0020, 0085, 00A0, 1680,
/// 2000-200A, 2028, 2029, 202F, 205F, 3000). `text`: UTF-8.
std::string_view python_strip(std::string_view text);

/// Character by character; without the two special cases that need a context or give two characters (final
/// sigma, U+0130). Used to sort keys. `text`: UTF-8.
std::string python_lower(std::string_view text);

/// The shortest decimal that reads back as `value`: 2.0, 0.0001, 1e-05, 1e+16.
std::string python_float(double value);

/// ASCII letters only: type names of JSON schemas.
std::string ascii_upper(std::string_view text);

}  // namespace tessera
