#include "text/json_tree.h"

#include <algorithm>

#include "base/error.h"

namespace tessera {

JsonTreeBuilder::JsonTreeBuilder(std::string_view text, ErrorKind error_kind, std::string name,
                                 const JsonLimits& limits)
    : text_(text), error_kind_(error_kind), name_(std::move(name)), limits_(limits) {}

Json* JsonTreeBuilder::place(Json&& value) {
  if (open_.empty()) {
    tree_ = std::move(value);
    return &tree_;
  }
  Json& top = *open_.back();
  if (top.is_array()) {
    top.push_back(std::move(value));
    return &top.back();
  }
  *slot_ = std::move(value);
  return slot_;
}

void JsonTreeBuilder::open(Json&& container) {
  if (open_.size() == limits_.max_depth) {
    throw_error(error_kind_, "{}: JSON is nested deeper than {} levels; flatten it", name_,
                limits_.max_depth);
  }
  open_.push_back(place(std::move(container)));
}

bool JsonTreeBuilder::null() {
  return place(Json(nullptr)) != nullptr;
}
bool JsonTreeBuilder::boolean(bool value) {
  return place(Json(value)) != nullptr;
}
bool JsonTreeBuilder::number_integer(number_integer_t value) {
  return place(Json(value)) != nullptr;
}
bool JsonTreeBuilder::number_unsigned(number_unsigned_t value) {
  return place(Json(value)) != nullptr;
}

bool JsonTreeBuilder::number_float(number_float_t value, const std::string& digits) {
  if (digits.find_first_of(".eE") != std::string::npos) return place(Json(value)) != nullptr;
  // An integer beyond 64 bits: JSON text has no binary values, so that type is free to carry its digits.
  return place(Json::binary(std::vector<uint8_t>(digits.begin(), digits.end()))) != nullptr;
}

bool JsonTreeBuilder::string(std::string& value) {
  return place(Json(std::move(value))) != nullptr;
}
bool JsonTreeBuilder::binary(Json::binary_t& /*value*/) {
  return false;
}

bool JsonTreeBuilder::start_object(size_t /*elements*/) {
  open(Json::object());
  return true;
}

bool JsonTreeBuilder::key(std::string& value) {
  Json& top = *open_.back();
  if (top.size() == limits_.max_keys && !top.contains(value)) {
    throw_error(error_kind_, "{}: a JSON object has more than {} keys; split it", name_, limits_.max_keys);
  }
  slot_ = &top[value];
  return true;
}

bool JsonTreeBuilder::end_object() {
  open_.pop_back();
  return true;
}

bool JsonTreeBuilder::start_array(size_t /*elements*/) {
  open(Json::array());
  return true;
}

bool JsonTreeBuilder::end_array() {
  open_.pop_back();
  return true;
}

bool JsonTreeBuilder::parse_error(size_t position, const std::string& /*last_token*/,
                                  const nlohmann::detail::exception& error) {
  // The library's own message quotes the input, which may be long and not UTF-8: say where instead.
  const size_t at = std::min(position, text_.size());
  const auto line = 1 + std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(at), '\n');
  const char* what = error.id == 406            ? "a number is out of range"
                     : position >= text_.size() ? "the text ends too early or is not valid JSON"
                                                : "not valid JSON (or not UTF-8)";
  throw_error(error_kind_, "{}: {} at byte {} of {}, line {}", name_, what, at, text_.size(), line);
}

Json parse_json(std::string_view text, ErrorKind kind, const std::string& name, const JsonLimits& limits) {
  JsonTreeBuilder builder(text, kind, name, limits);
  Json::sax_parse(text.begin(), text.end(), &builder);
  return std::move(builder.tree());
}

const std::vector<uint8_t>* big_integer(const Json& value) {
  return value.is_binary() ? &value.get_binary() : nullptr;
}

std::string_view json_type(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::boolean:
      return "a boolean";
    case Json::value_t::string:
      return "a string";
    case Json::value_t::array:
      return "an array";
    case Json::value_t::object:
      return "an object";
    default:
      return "a number";
  }
}

}  // namespace tessera
