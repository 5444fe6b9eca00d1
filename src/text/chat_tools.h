#pragma once
// The tool syntax inside the chat format: declarations, calls, responses, values. Strings are delimited by
// <|"|> and not escaped. `where` names the place in the request for errors, which are Error(kBadRequest).
#include <string>
#include <string_view>

#include "text/json_tree.h"

namespace tessera {

/// object[key]; null when absent, null, or `object` is no object.
const Json* find_value(const Json& object, std::string_view key);
[[noreturn]] void bad_value(const std::string& where, const Json* found, std::string_view expected);
const std::string& string_value(const Json* value, const std::string& where);
/// What Python takes for true: not null, false, 0 or empty.
bool is_truthy(const Json* value);

/// declaration:NAME{…} of one entry of `tools`.
void append_declaration(std::string& out, const Json& tool, const std::string& where);

/// <|tool_call>call:NAME{…}<tool_call|>; `arguments`: an object or null.
void append_call(std::string& out, std::string_view name, const Json* arguments);

/// <|tool_response>response:NAME{…}<tool_response|>; anything but an object is printed as value:….
void append_response(std::string& out, std::string_view name, const Json& response);

}  // namespace tessera
