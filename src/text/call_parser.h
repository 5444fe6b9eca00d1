#pragma once
// The text of one tool call, as a model writes it → name and JSON arguments.
#include <string>
#include <string_view>

#include "tessera/tessera.h"

namespace tessera {

/// Stands for the token <|"|> in the text of a call: a byte that UTF-8 never has.
inline constexpr char kQuoteMark = '\xFF';

/// `body`: what stood between <|tool_call> and <tool_call|>, UTF-8 plus kQuoteMark: call:NAME{key:value,…}.
/// Takes besides: strings in JSON quotes, backticks or none, True/False/None, "(…)" for "{…}", a missing
/// "call:", and, when `may_lack_end`, missing closing braces at the end. When it cannot be read: parsed =
/// false and arguments_json is the text as it was, the name empty unless it was clear. Never throws on input.
ToolCall parse_call(std::string_view body, bool may_lack_end);

}  // namespace tessera
