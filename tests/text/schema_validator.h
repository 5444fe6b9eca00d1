#pragma once
// A JSON Schema validator of its own, and random schemas with random values for them: what the grammar is
// held against.
#include <regex>
#include <string>
#include <vector>

#include "fixtures.h"

namespace tessera::test {

using PlainJson = nlohmann::ordered_json;

inline bool has_type(const PlainJson& v, const std::string& type) {
  if (type == "null") return v.is_null();
  if (type == "boolean") return v.is_boolean();
  if (type == "string") return v.is_string();
  if (type == "array") return v.is_array();
  if (type == "object") return v.is_object();
  return type == "integer" ? v.is_number_integer() : v.is_number();
}

inline int64_t characters(const std::string& utf8) {
  int64_t n = 0;
  for (const char c : utf8) n += (static_cast<uint8_t>(c) & 0xC0) != 0x80;
  return n;
}

/// As docs/structured-output.md reads schemas: properties without additionalProperties are all there are.
inline bool validates(const PlainJson& root, const PlainJson& s, const PlainJson& v) {
  if (s.is_boolean()) return s.get<bool>();
  const auto value = [&](const char* key) { return s.contains(key) ? s[key].get<double>() : 0; };
  if (s.contains("$ref")) {
    const std::string ref = s["$ref"].get<std::string>().substr(1);
    if (!validates(root, root.at(PlainJson::json_pointer(ref)), v)) return false;
  }
  if (s.contains("type")) {
    const PlainJson types = s["type"].is_array() ? s["type"] : PlainJson::array({s["type"]});
    bool any = false;
    for (const auto& t : types) any = any || has_type(v, t);
    if (!any) return false;
  }
  if (s.contains("enum") && std::find(s["enum"].begin(), s["enum"].end(), v) == s["enum"].end()) return false;
  if (s.contains("const") && s["const"] != v) return false;
  if (s.contains("anyOf")) {
    bool any = false;
    for (const auto& sub : s["anyOf"]) any = any || validates(root, sub, v);
    if (!any) return false;
  }
  if (s.contains("allOf"))
    for (const auto& sub : s["allOf"])
      if (!validates(root, sub, v)) return false;
  if (v.is_number()) {
    const auto x = v.get<double>();
    if (s.contains("minimum") && x < value("minimum")) return false;
    if (s.contains("maximum") && x > value("maximum")) return false;
    if (s.contains("exclusiveMaximum") && x >= value("exclusiveMaximum")) return false;
  }
  if (v.is_string()) {
    const auto& text = v.get_ref<const std::string&>();
    const auto n = static_cast<double>(characters(text));
    if (s.contains("minLength") && n < value("minLength")) return false;
    if (s.contains("maxLength") && n > value("maxLength")) return false;
    if (s.contains("pattern") && !std::regex_search(text, std::regex(s["pattern"].get<std::string>())))
      return false;
  }
  if (v.is_array()) {
    const auto n = static_cast<double>(v.size());
    if (s.contains("minItems") && n < value("minItems")) return false;
    if (s.contains("maxItems") && n > value("maxItems")) return false;
    if (s.contains("items"))
      for (const auto& item : v)
        if (!validates(root, s["items"], item)) return false;
  }
  if (v.is_object()) {
    if (s.contains("required"))
      for (const auto& name : s["required"])
        if (!v.contains(name.get<std::string>())) return false;
    const PlainJson known = s.contains("properties") ? s["properties"] : PlainJson::object();
    for (const auto& [name, item] : v.items()) {
      const PlainJson extra =
          s.contains("additionalProperties") ? s["additionalProperties"] : PlainJson(known.empty());
      if (!validates(root, known.contains(name) ? known[name] : extra, item)) return false;
    }
  }
  return true;
}

/// A schema and a generator of values for it, made together.
class RandomSchema {
 public:
  explicit RandomSchema(Random& random) : random_(random) {
    schema_["$defs"] = PlainJson::object();
    schema_["$defs"]["list"] = PlainJson::parse(
        R"({"type":"object","properties":{"value":{"type":"integer","minimum":-9,"maximum":120},"next":{"anyOf":[{"$ref":"#/$defs/list"},{"type":"null"}]}},"required":["value","next"]})");
    PlainJson top = make(4);
    for (const auto& [key, value] : top.items()) schema_[key] = value;
  }
  const PlainJson& schema() const { return schema_; }
  PlainJson value() { return value(schema_); }

 private:
  size_t pick(size_t n) { return below(random_, n); }

  PlainJson make(int depth) {
    static constexpr const char* kNames[] = {"a", "the", "na\"me", "\xC3\xA9", "self", "b c", "", "items"};
    switch (pick(depth > 0 ? 12 : 7)) {
      case 0:
        return {{"type", "boolean"}};
      case 1:
        return {{"type", PlainJson::array({"null", "integer"})}};
      case 2: {
        const int low = static_cast<int>(pick(400)) - 200;
        return {{"type", pick(2) == 0 ? "integer" : "number"},
                {"minimum", low},
                {"maximum", low + static_cast<int>(pick(150))}};
      }
      case 3:
        return {{"enum",
                 PlainJson::array({"x", "xy\n", 7, nullptr, PlainJson{{"k", PlainJson::array({1, true})}}})}};
      case 4:
        return {{"type", "string"}};
      case 5: {
        const auto low = pick(4);
        return {{"type", "string"}, {"minLength", low}, {"maxLength", low + pick(12)}};
      }
      case 6:
        return {{"type", "string"}, {"pattern", "^[a-e]+-?[0-9]{1,3}$"}};
      case 7:
      case 8: {
        const auto low = pick(3);
        return {{"type", "array"},
                {"items", make(depth - 1)},
                {"minItems", low},
                {"maxItems", low + 1 + pick(3)}};
      }
      case 9:
        return {{"anyOf", PlainJson::array({make(depth - 1), make(depth - 1)})}};
      case 10:
        return {{"$ref", "#/$defs/list"}};
      default: {
        PlainJson s = {
            {"type", "object"}, {"properties", PlainJson::object()}, {"required", PlainJson::array()}};
        for (const char* name : kNames) {
          if (pick(3) != 0) continue;
          s["properties"][name] = make(depth - 1);
          if (pick(2) == 0) s["required"].push_back(name);
        }
        if (pick(3) == 0) s["additionalProperties"] = make(0);
        return s;
      }
    }
  }

  PlainJson value(const PlainJson& s) {
    if (s.contains("$ref")) return value(schema_["$defs"]["list"]);
    if (s.contains("anyOf")) return value(s["anyOf"][pick(2)]);
    if (s.contains("enum")) return s["enum"][pick(s["enum"].size())];
    if (s["type"].is_array())
      return pick(2) == 0 ? PlainJson(nullptr) : PlainJson(static_cast<int>(pick(2000)) - 1000);
    const std::string type = s["type"];
    if (type == "null") return nullptr;
    if (type == "boolean") return pick(2) == 0;
    if (type == "integer" || type == "number")
      return s["minimum"].get<int>() + static_cast<int>(pick(static_cast<size_t>(
                                           s["maximum"].get<int>() - s["minimum"].get<int>() + 1)));
    if (type == "string" && s.contains("pattern"))
      return "abc"[pick(3)] + std::string("e-") + std::to_string(pick(1000));
    if (type == "string") {
      std::string text;
      const int64_t low = s.contains("minLength") ? s["minLength"].get<int64_t>() : 0;
      const int64_t high = s.contains("maxLength") ? s["maxLength"].get<int64_t>() : 20;
      const auto n = low + static_cast<int64_t>(pick(static_cast<size_t>(high - low + 1)));
      static constexpr char32_t kCodes[] = {'t',  'h',  'e',    ' ',     '"', '\\', '\n', 1,
                                            0x7F, 0xE9, 0x65E5, 0x1F999, '/', '0',  '}'};
      for (int64_t i = 0; i < n; ++i) append_utf8(text, kCodes[pick(std::size(kCodes))]);
      return text;
    }
    if (type == "array") {
      PlainJson v = PlainJson::array();
      const size_t n =
          s["minItems"].get<size_t>() + pick(s["maxItems"].get<size_t>() - s["minItems"].get<size_t>() + 1);
      for (size_t i = 0; i < n; ++i) v.push_back(value(s["items"]));
      return v;
    }
    PlainJson v = PlainJson::object();
    for (const auto& [name, sub] : s["properties"].items()) {
      const bool needed = std::find(s["required"].begin(), s["required"].end(), name) != s["required"].end();
      if (needed || pick(2) == 0) v[name] = value(sub);
    }
    if (s.contains("additionalProperties") && pick(2) == 0)
      if (!s["properties"].contains("items2")) v["items2"] = value(s["additionalProperties"]);
    return v;
  }

  Random& random_;
  PlainJson schema_;
};

}  // namespace tessera::test
