#include "text/value_text.h"

#include <algorithm>
#include <cmath>

#include "text/call_parser.h"
#include "text/python_text.h"

namespace tessera {

bool is_bare_key(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
  });
}

void append_string(std::string& out, std::string_view text, StringSyntax syntax) {
  const char mark = syntax == StringSyntax::kJson ? '"' : kQuoteMark;
  out.append(1, mark).append(string_text(text, syntax)).append(1, mark);
}

void append_key(std::string& out, const std::string& name, StringSyntax syntax) {
  if (syntax == StringSyntax::kCall && is_bare_key(name)) {
    out += name;
  } else {
    append_string(out, name, syntax);
  }
}

void append_value(std::string& out, const Json& value, StringSyntax syntax) {
  if (const auto* digits = big_integer(value)) {
    out.append(digits->begin(), digits->end());
  } else if (value.is_string()) {
    append_string(out, value.get_ref<const std::string&>(), syntax);
  } else if (value.is_number_float()) {
    out += python_float(value.get<double>());
  } else if (value.is_structured()) {
    out += value.is_object() ? '{' : '[';
    bool first = true;
    for (const auto& [key, item] : value.items()) {
      if (!first) out += ',';
      first = false;
      if (value.is_object()) {
        append_key(out, key, syntax);
        out += ':';
      }
      append_value(out, item, syntax);
    }
    out += value.is_object() ? '}' : ']';
  } else {
    out += value.dump();
  }
}

std::string_view type_name(const Json& value) {
  if (value.is_null()) return "null";
  if (value.is_boolean()) return "boolean";
  if (value.is_string()) return "string";
  if (value.is_array()) return "array";
  if (value.is_object()) return "object";
  const bool whole = value.is_number_integer() || big_integer(value) != nullptr ||
                     (value.is_number_float() && value.get<double>() == std::trunc(value.get<double>()));
  return whole ? "integer" : "number";
}

}  // namespace tessera
