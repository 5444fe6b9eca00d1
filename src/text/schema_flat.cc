#include "text/schema_flat.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"

namespace tessera {

namespace {

constexpr int64_t kMaxWork = 200'000;
constexpr size_t kMaxAlternatives = 512, kMaxOpenRefs = 64;

constexpr std::string_view kTypes[] = {"null", "boolean", "integer", "number", "string", "array", "object"};

// Keywords that would make a reply invalid if they were passed over.
constexpr std::string_view kRefused[] = {"not",
                                         "if",
                                         "then",
                                         "else",
                                         "dependentRequired",
                                         "dependentSchemas",
                                         "dependencies",
                                         "contains",
                                         "minContains",
                                         "maxContains",
                                         "patternProperties",
                                         "propertyNames",
                                         "$dynamicRef",
                                         "$recursiveRef",
                                         "unevaluatedItems",
                                         "unevaluatedProperties"};
constexpr std::string_view kCounts[] = {"minItems",  "maxItems",      "minLength",
                                        "maxLength", "minProperties", "maxProperties"};
constexpr std::string_view kBounds[] = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"};

template <typename List>
bool holds(const List& list, std::string_view word) {
  return std::find(std::begin(list), std::end(list), word) != std::end(list);
}

const Json* find(const Json& object, std::string_view key) {
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

Json all_of(const Json& a, const Json& b) {
  if (a == b || b == Json(true)) return a;
  if (a == Json(true)) return b;
  return Json{{"allOf", Json::array({a, b})}};
}

std::string unescaped_pointer(std::string_view part) {
  std::string out;
  for (size_t i = 0; i < part.size(); ++i) {
    const bool escape = part[i] == '~' && i + 1 < part.size();
    out += escape ? (part[++i] == '1' ? '/' : '~') : part[i];
  }
  return out;
}

}  // namespace

void SchemaFlattener::fail(const std::string& path, std::string_view keyword, std::string_view what) const {
  throw_error(ErrorKind::kBadRequest, "{} at {}: \"{}\" {}", name_, path, keyword, what);
}

void SchemaFlattener::spend(int64_t units) {
  spent_ += units;
  if (spent_ > kMaxWork)
    throw_error(
        ErrorKind::kTooLarge,
        "{}: its references and alternatives come to more than {} steps; use fewer of anyOf inside allOf",
        name_, kMaxWork);
}

// The schema that a reference inside the document means.
const Json& SchemaFlattener::target(const std::string& ref, const std::string& path) const {
  if (ref != "#" && !ref.starts_with("#/"))
    fail(path, "$ref", "is supported inside the document only, as # or #/…");
  const Json* at = &root_;
  for (size_t begin = 2; begin <= ref.size() && ref.size() > 1;) {
    const size_t end = std::min(ref.find('/', begin), ref.size());
    const std::string part = unescaped_pointer(std::string_view(ref).substr(begin, end - begin));
    const bool index =
        !part.empty() && part.size() < 7 && part.find_first_not_of("0123456789") == std::string::npos;
    if (at->is_array() && index && std::stoul(part) < at->size()) {
      at = &(*at)[std::stoul(part)];
    } else if (const Json* next = at->is_object() ? find(*at, part) : nullptr; next != nullptr) {
      at = next;
    } else {
      fail(path, "$ref", "points to " + ref.substr(0, 100) + ", which is not in the document");
    }
    begin = end + 1;
  }
  return *at;
}

// The keywords of one schema object itself, checked.
Json SchemaFlattener::plain(const Json& schema, const std::string& path) {
  Json out = Json::object();
  for (const auto& [key, value] : schema.items()) {
    if (holds(kRefused, key)) fail(path, key, "is not supported");
    if (holds(kCounts, key)) {
      const bool number = value.is_number() && value.get<double>() >= 0 &&
                          value.get<double>() == std::floor(value.get<double>());
      if (!number || value.get<double>() > 1e9) fail(path, key, "is not a whole number from 0 to 1e9");
      out[key] = static_cast<int64_t>(value.get<double>());
    } else if (holds(kBounds, key)) {
      if (value.is_boolean() && key.starts_with("exclusive")) {  // as in draft 4
        const Json* bound = find(schema, key == "exclusiveMinimum" ? "minimum" : "maximum");
        if (value.get<bool>() && bound != nullptr && bound->is_number()) out[key] = *bound;
        continue;
      }
      const auto* digits = big_integer(value);
      if (!value.is_number() && digits == nullptr) fail(path, key, "is not a number");
      out[key] = digits != nullptr ? Json((*digits)[0] == '-' ? -1e30 : 1e30) : value;
    } else if (key == "type") {
      const Json list = value.is_array() ? value : Json::array({value});
      for (const Json& type : list)
        if (!type.is_string() || !holds(kTypes, type.get<std::string>()))
          fail(path, key, "is not a type of JSON Schema");
      if (list.empty()) fail(path, key, "is an empty list");
      out[key] = list;
    } else if (key == "enum" || key == "const") {
      if (key == "enum" && !value.is_array()) fail(path, key, "is not a list");
      Json from = Json{{"enum", key == "const" ? Json::array({value}) : value}};
      if (!merge(out, from, path)) out["enum"] = Json::array();
    } else if (key == "properties") {
      if (!value.is_object()) fail(path, key, "is not an object");
      out[key] = value;
    } else if (key == "required") {
      if (!value.is_array() ||
          !std::all_of(value.begin(), value.end(), [](const Json& v) { return v.is_string(); }))
        fail(path, key, "is not a list of names");
      out[key] = value;
    } else if (key == "items" && value.is_array()) {  // as before draft 2020-12
      out["prefixItems"] = value;
      if (const Json* more = find(schema, "additionalItems"); more != nullptr) out["items"] = *more;
    } else if (key == "prefixItems") {
      if (!value.is_array()) fail(path, key, "is not a list");
      out[key] = value;
    } else if (key == "items" || key == "additionalProperties") {
      out[key] = value;
    } else if (key == "pattern" || key == "format") {
      if (!value.is_string()) fail(path, key, "is not a string");
      out[key] = key == "pattern" ? Json::array({value}) : value;
    } else if (key == "uniqueItems") {
      if (value != Json(false)) fail(path, key, "is not supported");
    } else if (key == "multipleOf") {
      const Json* type = find(schema, "type");
      if (value != Json(1) || type == nullptr || *type != Json("integer"))
        fail(path, key, "is not supported");
    }
  }
  if (const Json* nullable = find(schema, "nullable"); nullable != nullptr && *nullable == Json(true)) {
    if (out.contains("type")) out["type"].push_back("null");
    if (out.contains("enum")) out["enum"].push_back(nullptr);
  }
  return out;
}

// Both at once; false when no value can be valid.
bool SchemaFlattener::merge(Json& to, const Json& from, const std::string& path) const {
  // Properties that only one side names are additional ones to the other.
  const Json* stated = find(to, "additionalProperties");
  const Json before = stated != nullptr ? *stated : Json();  // a copy: adding a key moves the others
  const Json* extra_to = stated != nullptr ? &before : nullptr;
  const Json* extra_from = find(from, "additionalProperties");
  if (to.contains("properties") || from.contains("properties")) {
    Json both = Json::object();
    const Json none = Json::object();
    const Json& a = to.contains("properties") ? to["properties"] : none;
    const Json& b = from.contains("properties") ? from["properties"] : none;
    for (const auto& [name, schema] : a.items()) {
      const Json* other = find(b, name);
      both[name] = other != nullptr        ? all_of(schema, *other)
                   : extra_from != nullptr ? all_of(schema, *extra_from)
                                           : schema;
    }
    for (const auto& [name, schema] : b.items())
      if (!a.contains(name)) both[name] = extra_to != nullptr ? all_of(schema, *extra_to) : schema;
    to["properties"] = std::move(both);
  }
  if (extra_from != nullptr)
    to["additionalProperties"] = extra_to != nullptr ? all_of(*extra_to, *extra_from) : *extra_from;
  for (const auto& [key, value] : from.items()) {
    if (key == "properties" || key == "additionalProperties") continue;
    if (!to.contains(key)) {
      to[key] = value;
      continue;
    }
    Json& mine = to[key];
    if (key == "type") {
      Json common = Json::array();
      for (const Json& type : mine) {
        const bool narrower =
            type == Json("integer") && std::find(value.begin(), value.end(), "number") != value.end();
        if (narrower || std::find(value.begin(), value.end(), type) != value.end()) {
          common.push_back(type);
        } else if (type == Json("number") &&
                   std::find(value.begin(), value.end(), "integer") != value.end()) {
          common.push_back("integer");
        }
      }
      mine = std::move(common);
      if (mine.empty()) return false;
    } else if (key == "enum") {
      Json common = Json::array();
      for (const Json& v : mine)
        if (std::find(value.begin(), value.end(), v) != value.end()) common.push_back(v);
      mine = std::move(common);
      if (mine.empty()) return false;
    } else if (key == "required" || key == "pattern") {
      for (const Json& v : value)
        if (std::find(mine.begin(), mine.end(), v) == mine.end()) mine.push_back(v);
    } else if (key.starts_with("min") || key == "exclusiveMinimum") {
      if (value.get<double>() > mine.get<double>()) mine = value;
    } else if (key.starts_with("max") || key == "exclusiveMaximum") {
      if (value.get<double>() < mine.get<double>()) mine = value;
    } else if (key == "items" && !to.contains("prefixItems") && !from.contains("prefixItems")) {
      mine = all_of(mine, value);
    } else if (mine != value) {
      fail(path, key, "is stated twice, differently, by schemas that must both hold: not supported");
    }
  }
  return true;
}

std::vector<Json> SchemaFlattener::combine(const std::vector<Json>& a, const std::vector<Json>& b,
                                           const std::string& path) {
  std::vector<Json> out;
  if (a.size() * b.size() > kMaxAlternatives)
    throw_error(ErrorKind::kTooLarge,
                "{} at {}: {} alternatives that must hold with {} others, at most {} together", name_, path,
                a.size(), b.size(), kMaxAlternatives);
  for (const Json& x : a) {
    for (const Json& y : b) {
      spend(1 + static_cast<int64_t>(x.size() + y.size()));
      Json both = x;
      if (merge(both, y, path)) out.push_back(std::move(both));
    }
  }
  return out;
}

std::vector<Json> SchemaFlattener::alternatives(const Json& schema, const std::string& path) {
  spend(1);
  if (schema.is_boolean())
    return schema.get<bool>() ? std::vector<Json>{Json::object()} : std::vector<Json>{};
  if (!schema.is_object())
    fail(path, "schema", fmt::format("is {}, expected an object or a boolean", json_type(schema)));
  std::vector<Json> out = {plain(schema, path)};
  if (out[0].contains("enum") && out[0]["enum"].empty()) out.clear();
  if (const Json* ref = find(schema, "$ref"); ref != nullptr) {
    if (!ref->is_string()) fail(path, "$ref", "is not a string");
    const Json& meant = target(ref->get<std::string>(), path);
    // A reference that leads back to itself before any text adds no text of its own.
    if (std::find(open_refs_.begin(), open_refs_.end(), &meant) != open_refs_.end()) return {};
    if (open_refs_.size() == kMaxOpenRefs) fail(path, "$ref", "follows a chain of more than 64 references");
    open_refs_.push_back(&meant);
    std::vector<Json> found = alternatives(meant, ref->get<std::string>());
    open_refs_.pop_back();
    out = combine(out, found, path);
  }
  for (const char* keyword : {"allOf", "anyOf", "oneOf"}) {
    const Json* list = find(schema, keyword);
    if (list == nullptr) continue;
    if (!list->is_array() || list->empty()) fail(path, keyword, "is not a list of schemas");
    std::vector<Json> any;
    for (size_t i = 0; i < list->size(); ++i) {
      std::vector<Json> found = alternatives((*list)[i], fmt::format("{}/{}/{}", path, keyword, i));
      if (std::string_view(keyword) == "allOf") {
        out = combine(out, found, path);
      } else {
        any.insert(any.end(), found.begin(), found.end());
      }
    }
    if (std::string_view(keyword) != "allOf") out = combine(out, any, path);
  }
  return out;
}

}  // namespace tessera
