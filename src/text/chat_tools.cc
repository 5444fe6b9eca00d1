#include "text/chat_tools.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "text/python_text.h"

namespace tessera {

namespace {

constexpr std::string_view kQuote = "<|\"|>";

struct Field {
  std::string sort_key;
  const std::string* key;
  const Json* value;
};

// Jinja's dictsort: by key without regard to case; equal ones stay in their order.
std::vector<Field> sorted_fields(const Json& object) {
  std::vector<Field> fields;
  fields.reserve(object.size());
  for (auto it = object.begin(); it != object.end(); ++it) {
    fields.push_back({python_lower(it.key()), &it.key(), &it.value()});
  }
  std::stable_sort(fields.begin(), fields.end(),
                   [](const Field& a, const Field& b) { return a.sort_key < b.sort_key; });
  return fields;
}

void append_quoted(std::string& out, std::string_view text) {
  out.append(kQuote).append(text).append(kQuote);
}

void append_value(std::string& out, const Json& value, bool quote_keys);

void append_fields(std::string& out, const Json& object, bool quote_keys) {
  bool first = true;
  for (const Field& field : sorted_fields(object)) {
    if (!first) out += ',';
    first = false;
    if (quote_keys) {
      append_quoted(out, *field.key);
    } else {
      out += *field.key;
    }
    out += ':';
    append_value(out, *field.value, quote_keys);
  }
}

// Numbers as Python prints them. Depth: bounded by the JSON reader.
void append_value(std::string& out, const Json& value, bool quote_keys) {
  if (const auto* digits = big_integer(value)) {
    out.append(digits->begin(), digits->end());
  } else if (value.is_string()) {
    append_quoted(out, value.get_ref<const std::string&>());
  } else if (value.is_number_float()) {
    out += python_float(value.get<double>());
  } else if (value.is_object()) {
    out += '{';
    append_fields(out, value, quote_keys);
    out += '}';
  } else if (value.is_array()) {
    out += '[';
    for (size_t i = 0; i < value.size(); ++i) {
      if (i > 0) out += ',';
      append_value(out, value[i], quote_keys);
    }
    out += ']';
  } else {
    out += value.dump();  // null, true, false, integers
  }
}

// Text as the template prints it: a string, or a number or boolean as Python does.
std::string scalar_text(const Json& value, const std::string& where) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "True" : "False";
  if (value.is_structured()) bad_value(where, &value, "a string");
  std::string text;
  append_value(text, value, false);
  return text;
}

// Comma-separated members of one pair of braces.
class Members {
 public:
  explicit Members(std::string& out) : out_(out) {}
  std::string& next(std::string_view key) {
    if (!first_) out_ += ',';
    first_ = false;
    return out_.append(key).append(":");
  }

 private:
  std::string& out_;
  bool first_ = true;
};

void append_required(std::string& out, const Json& names, const std::string& where) {
  if (!names.is_array()) bad_value(where, &names, "a list of property names");
  out += '[';
  for (size_t i = 0; i < names.size(); ++i) {
    if (i > 0) out += ',';
    append_quoted(out, string_value(&names[i], where));
  }
  out += ']';
}

struct SchemaType {
  std::string name;  // upper case; empty when the schema has none
  bool nullable = false;
};

// The template has no rule for a list of types in a property: ["string", "null"] is a nullable string.
SchemaType schema_type(const Json* type, const std::string& where) {
  if (type == nullptr) return {};
  if (!type->is_structured()) return {ascii_upper(scalar_text(*type, where)), false};
  SchemaType result;
  constexpr std::string_view kExpected = "a type name, or a list of one type name and \"null\"";
  if (!type->is_array()) bad_value(where, type, kExpected);
  for (const Json& entry : *type) {
    const std::string& name = string_value(&entry, where);
    if (name == "null") {
      result.nullable = true;
    } else if (result.name.empty()) {
      result.name = ascii_upper(name);
    } else {
      bad_value(where, type, kExpected);
    }
  }
  return result;
}

void append_properties(std::string& out, const Json& properties, bool skip_standard,
                       const std::string& where);

void append_items(std::string& out, const Json& items, const std::string& where) {
  Members members(out);
  for (const Field& field : sorted_fields(items)) {
    const std::string& key = *field.key;
    const Json& value = *field.value;
    const std::string here = fmt::format("{}.{}", where, key);
    if (value.is_null()) continue;
    members.next(key);
    if (key == "properties") {
      out += '{';
      if (value.is_object()) append_properties(out, value, false, here);
      out += '}';
    } else if (key == "required") {
      append_required(out, value, here);
    } else if (key == "type" && value.is_array()) {
      Json upper = Json::array();
      for (const Json& entry : value) upper.push_back(ascii_upper(string_value(&entry, here)));
      append_value(out, upper, true);
    } else if (key == "type") {
      append_quoted(out, ascii_upper(string_value(&value, here)));
    } else {
      append_value(out, value, true);
    }
  }
}

// One property's schema; one that is not an object (additionalProperties: false) has no members but its type.
void append_schema(std::string& out, const Json& schema, const std::string& where) {
  const SchemaType type = schema_type(find_value(schema, "type"), where + ".type");
  Members members(out);
  if (const Json* description = find_value(schema, "description"); is_truthy(description)) {
    append_quoted(members.next("description"), scalar_text(*description, where + ".description"));
  }
  if (const Json* values = find_value(schema, "enum"); type.name == "STRING" && is_truthy(values)) {
    append_value(members.next("enum"), *values, true);
  }
  const Json* items = find_value(schema, "items");
  if (type.name == "ARRAY" && is_truthy(items) && items->is_object()) {
    members.next("items") += '{';
    append_items(out, *items, where + ".items");
    out += '}';
  }
  if (type.nullable || is_truthy(find_value(schema, "nullable"))) members.next("nullable") += "true";
  if (type.name == "OBJECT") {
    const Json* properties = find_value(schema, "properties");
    const bool listed = properties != nullptr && properties->is_object();
    members.next("properties") += '{';
    // Without properties the template prints the other keys of the schema as if they were properties.
    append_properties(out, listed ? *properties : schema, !listed, where + (listed ? ".properties" : ""));
    out += '}';
    if (const Json* required = find_value(schema, "required"); is_truthy(required)) {
      append_required(members.next("required"), *required, where + ".required");
    }
  }
  append_quoted(members.next("type"), type.name);
}

void append_properties(std::string& out, const Json& properties, bool skip_standard,
                       const std::string& where) {
  constexpr std::string_view kStandard[] = {"description", "type", "properties", "required", "nullable"};
  Members members(out);
  for (const Field& field : sorted_fields(properties)) {
    if (skip_standard &&
        std::find(std::begin(kStandard), std::end(kStandard), *field.key) != std::end(kStandard)) {
      continue;
    }
    members.next(*field.key) += '{';
    append_schema(out, *field.value, where + "." + *field.key);
    out += '}';
  }
}

void append_parameters(std::string& out, const Json& parameters, const std::string& where) {
  if (!parameters.is_object()) bad_value(where, &parameters, "a JSON schema");
  Members members(out);
  if (const Json* properties = find_value(parameters, "properties"); is_truthy(properties)) {
    if (!properties->is_object()) bad_value(where + ".properties", properties, "an object");
    members.next("properties") += '{';
    append_properties(out, *properties, false, where + ".properties");
    out += '}';
  }
  if (const Json* required = find_value(parameters, "required"); is_truthy(required)) {
    append_required(members.next("required"), *required, where + ".required");
  }
  if (const Json* type = find_value(parameters, "type"); is_truthy(type)) {
    append_quoted(members.next("type"), ascii_upper(string_value(type, where + ".type")));
  }
}

}  // namespace

const Json* find_value(const Json& object, std::string_view key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

void bad_value(const std::string& where, const Json* found, std::string_view expected) {
  throw_error(ErrorKind::kBadRequest, "{} is {}, expected {}", where,
              found == nullptr ? "missing" : json_type(*found), expected);
}

const std::string& string_value(const Json* value, const std::string& where) {
  if (value == nullptr || !value->is_string()) bad_value(where, value, "a string");
  return value->get_ref<const std::string&>();
}

bool is_truthy(const Json* value) {
  if (value == nullptr || value->is_null()) return false;
  if (value->is_boolean()) return value->get<bool>();
  if (value->is_string()) return !value->get_ref<const std::string&>().empty();
  if (value->is_number()) return value->get<double>() != 0;
  return big_integer(*value) != nullptr || !value->empty();
}

void append_declaration(std::string& out, const Json& tool, const std::string& where) {
  const Json* function = find_value(tool, "function");
  const std::string here = where + ".function";
  if (function == nullptr || !function->is_object()) bad_value(here, function, "an object");
  const std::string& name = string_value(find_value(*function, "name"), here + ".name");
  if (name.empty())
    throw_error(ErrorKind::kBadRequest, "{}.name is empty, expected the function's name", here);
  const Json* description = find_value(*function, "description");
  out.append("declaration:").append(name).append("{description:");
  append_quoted(out, description == nullptr ? "" : string_value(description, here + ".description"));
  if (const Json* parameters = find_value(*function, "parameters"); is_truthy(parameters)) {
    out += ",parameters:{";
    append_parameters(out, *parameters, here + ".parameters");
    out += '}';
  }
  if (const Json* response = find_value(*function, "response"); response != nullptr) {
    if (!response->is_object()) bad_value(here + ".response", response, "an object");
    out += ",response:{";
    Members members(out);
    if (const Json* text = find_value(*response, "description"); is_truthy(text)) {
      append_quoted(members.next("description"), string_value(text, here + ".response.description"));
    }
    const Json* type = find_value(*response, "type");
    if (type != nullptr && ascii_upper(string_value(type, here + ".response.type")) == "OBJECT") {
      append_quoted(members.next("type"), "OBJECT");
    }
    out += '}';
  }
  out += '}';
}

void append_call(std::string& out, std::string_view name, const Json* arguments) {
  out.append("<|tool_call>call:").append(name).append("{");
  if (arguments != nullptr) append_fields(out, *arguments, false);
  out += "}<tool_call|>";
}

void append_response(std::string& out, std::string_view name, const Json& response) {
  out.append("<|tool_response>response:").append(name).append("{");
  if (response.is_object()) {
    append_fields(out, response, false);
  } else {
    out += "value:";
    append_value(out, response, false);
  }
  out += "}<tool_response|>";
}

}  // namespace tessera
