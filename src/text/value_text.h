#pragma once
// Values as a reply writes them without blanks: as JSON, or in the syntax of calls.
#include <string>
#include <string_view>

#include "text/grammar_text.h"
#include "text/json_tree.h"

namespace tessera {

/// A key that calls write without quotation marks: letters, digits, _ . -
bool is_bare_key(std::string_view name);
void append_string(std::string& out, std::string_view text, StringSyntax syntax);  // with its quotation marks
void append_key(std::string& out, const std::string& name, StringSyntax syntax);
void append_value(std::string& out, const Json& value, StringSyntax syntax);
/// "null", "boolean", "integer" (2.0 too), "number", "string", "array" or "object".
std::string_view type_name(const Json& value);

}  // namespace tessera
