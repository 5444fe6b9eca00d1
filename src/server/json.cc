#include "server/json.h"

#include <fmt/format.h>

#include <cmath>

#include "server/api_error.h"

namespace tessera::server {
namespace {

constexpr int kMaxDepth = 64;
constexpr int64_t kMaxKeys = 2048, kMaxValues = 1'000'000;

std::string_view type_name(const Json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "a list";
  if (value.is_string()) return "a string";
  if (value.is_boolean()) return "true or false";
  if (value.is_number()) return "a number";
  return "null";
}

}  // namespace

Json parse_json(std::string_view text) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    throw bad_request("the body is empty; expected a JSON object");
  }
  std::vector<int64_t> keys;  // of each object that is open
  int64_t values = 0;
  const auto check = [&](int depth, Json::parse_event_t event, Json&) {
    if (depth > kMaxDepth)
      throw bad_request(fmt::format("the JSON is nested deeper than {} levels", kMaxDepth));
    if (event == Json::parse_event_t::object_start) keys.push_back(0);
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && ++keys.back() > kMaxKeys) {
      throw bad_request(fmt::format("the JSON has an object with more than {} keys", kMaxKeys));
    }
    if (++values > kMaxValues) throw bad_request(fmt::format("the JSON has more than {} values", kMaxValues));
    return true;
  };
  try {
    return Json::parse(text, check);
  } catch (const nlohmann::json::exception& error) {
    std::string why = error.what();  // "[json.exception.parse_error.101] parse error at line 1, column 2: …"
    why.erase(0, why.find("] ") + 2);
    if (why.size() > 200) why = why.substr(0, 200);
    throw bad_request("the body is not JSON: " + why);
  }
}

std::string dump(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void bad_field(const std::string& place, const Json* found, std::string_view expected) {
  if (found == nullptr) throw bad_request(fmt::format("{} is missing; expected {}", place, expected));
  const std::string shown =
      found->is_number() || found->is_string() ? dump(*found) : std::string(type_name(*found));
  throw bad_request(fmt::format("{} is {}, expected {}", place,
                                shown.size() > 80 ? shown.substr(0, 77) + "..." : shown, expected));
}

Fields::Fields(const Json& object, std::string place) : object_(object), place_(std::move(place)) {
  if (!object.is_object()) bad_field(place_.empty() ? "the request" : place_, &object, "an object");
}

std::string Fields::place(std::string_view key) const {
  return place_.empty() ? std::string(key) : fmt::format("{}.{}", place_, key);
}

const Json* Fields::find(std::string_view key) const {
  const auto found = object_.find(std::string(key));
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

const Json& Fields::need(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) throw bad_request(place(key) + " is missing");
  return *value;
}

std::string Fields::string(std::string_view key, std::string absent) const {
  const Json* value = find(key);
  if (value == nullptr) return absent;
  if (!value->is_string()) bad_field(place(key), value, "a string");
  return value->get<std::string>();
}

std::string Fields::need_string(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr || !value->is_string()) bad_field(place(key), value, "a string");
  return value->get<std::string>();
}

bool Fields::flag(std::string_view key, bool absent) const {
  const Json* value = find(key);
  if (value == nullptr) return absent;
  if (!value->is_boolean()) bad_field(place(key), value, "true or false");
  return value->get<bool>();
}

std::optional<double> Fields::number(std::string_view key, double least, double most) const {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  const double number = value->is_number() ? value->get<double>() : std::nan("");
  if (!(number >= least && number <= most)) {
    bad_field(place(key), value, fmt::format("a number from {} to {}", least, most));
  }
  return number;
}

std::optional<int64_t> Fields::integer(std::string_view key, int64_t least, int64_t most) const {
  const auto value = number(key, static_cast<double>(least), static_cast<double>(most));
  if (!value) return std::nullopt;
  if (*value != std::floor(*value)) {
    bad_field(place(key), find(key), fmt::format("a whole number from {} to {}", least, most));
  }
  // Through double only above 2^53, where a limit has said no already or the digits do not matter.
  const Json& json = *find(key);
  return json.is_number_integer() ? json.get<int64_t>() : static_cast<int64_t>(*value);
}

std::vector<std::string> Fields::strings(std::string_view key, size_t most) const {
  const Json* value = find(key);
  if (value == nullptr) return {};
  if (value->is_string()) return {value->get<std::string>()};
  if (!value->is_array()) bad_field(place(key), value, "a string or a list of strings");
  if (value->size() > most) {
    throw bad_request(fmt::format("{} has {} entries, expected at most {}", place(key), value->size(), most));
  }
  std::vector<std::string> out;
  for (size_t i = 0; i < value->size(); ++i) {
    const Json& entry = (*value)[i];
    if (!entry.is_string()) bad_field(fmt::format("{}[{}]", place(key), i), &entry, "a string");
    out.push_back(entry.get<std::string>());
  }
  return out;
}

const Json* Fields::list(std::string_view key) const {
  const Json* value = find(key);
  if (value != nullptr && !value->is_array()) bad_field(place(key), value, "a list");
  return value;
}

const Json* Fields::object(std::string_view key) const {
  const Json* value = find(key);
  if (value != nullptr && !value->is_object()) bad_field(place(key), value, "an object");
  return value;
}

}  // namespace tessera::server
