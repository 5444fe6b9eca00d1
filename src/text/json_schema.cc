#include "text/json_schema.h"

#include <algorithm>
#include <memory>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "text/json_number.h"
#include "text/schema_flat.h"
#include "text/value_text.h"

namespace tessera {

namespace {

using State = Grammar::State;

constexpr int kAnyDepth = 24;  // arrays and objects inside each other where a schema says nothing
constexpr int kMaxRules = 20'000;
constexpr int kMaxIndent = 32;
constexpr size_t kMaxSchemaBytes = size_t{1} << 20;

const Json* find(const Json& object, std::string_view key) {
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

int count_of(const Json& flat, std::string_view key, int otherwise) {
  const Json* value = find(flat, key);
  return value == nullptr ? otherwise : static_cast<int>(value->get<int64_t>());
}

class Compiler {
 public:
  Compiler(Grammar& g, const Json& schema, StringSyntax syntax, const std::string& name,
           const std::unordered_set<std::string>& empty)
      : g_(g),
        json_(syntax == StringSyntax::kJson),
        syntax_(syntax),
        name_(name),
        flattener_(schema, name),
        empty_(empty),
        first_rule_(g.rules()) {
    const State line =
        g.concat(g.byte('\n'), g.either(g.repeat(g.byte(' '), 0, kMaxIndent), g.repeat(g.byte('\t'), 0, 8)));
    line_ = json_ ? g.optional(line) : Grammar::kEnd;
    colon_ = json_ ? g.concat(g.byte(':'), g.optional(g.byte(' '))) : g.byte(':');
    comma_ = json_ ? g.concat(g.byte(','), g.either({g.byte(' '), line, Grammar::kEnd})) : g.byte(',');
    string_ = quoted(g, g.repeat(any_character(g, syntax), 0, Grammar::kNoLimit), syntax);
  }

  /// `only_objects`: other values are left out. Rules without any text are put into `dead`.
  State compile(const Json& schema, bool only_objects, std::unordered_set<std::string>& dead) {
    const State root = either_of(flattener_.alternatives(schema, "#"), "#", only_objects);
    for (size_t i = 0; i < todo_.size(); ++i) {  // grows while it is worked off
      const Todo todo = todo_[i];
      g_.define(todo.rule, either_of(flattener_.alternatives(*todo.schema, todo.path), todo.path, false));
    }
    // The least fixed point: what is not found to have a text has none.
    std::vector<bool> live(static_cast<size_t>(g_.rules()));
    std::fill(live.begin(), live.begin() + first_rule_, true);
    for (bool changed = true; changed;) {
      changed = false;
      for (int rule = g_.rules() - 1; rule >= first_rule_; --rule) {
        if (live[static_cast<size_t>(rule)] || !g_.has_text(g_.body(rule), live)) continue;
        live[static_cast<size_t>(rule)] = changed = true;
      }
    }
    for (const auto& [text, rule] : rules_)
      if (!live[static_cast<size_t>(rule)]) dead.insert(text);
    return g_.has_text(root, live) ? root : Grammar::kNothing;
  }

 private:
  struct Todo {
    int rule;
    std::shared_ptr<const Json> schema;
    std::string path;
  };

  // A value inside another one: a rule, the same for equal schemas, so that recursive ones come to an end.
  State value(const Json& schema, const std::string& path) {
    std::string text = schema.dump();
    flattener_.spend(1 + static_cast<int64_t>(text.size() / 256));
    if (empty_.contains(text)) return Grammar::kNothing;
    if (text == "true" || text == "{}") return any(kAnyDepth);
    const auto [found, added] = rules_.try_emplace(std::move(text), 0);
    if (added) {
      if (rules_.size() > kMaxRules)
        throw_error(ErrorKind::kTooLarge, "{}: more than {} schemas inside each other; make it smaller",
                    name_, kMaxRules);
      found->second = g_.new_rule();
      todo_.push_back({found->second, std::make_shared<const Json>(schema), path});
    }
    return g_.call(found->second);
  }

  State either_of(const std::vector<Json>& flats, const std::string& path, bool only_objects) {
    std::vector<State> ways;
    for (const Json& flat : flats) {
      if (flat.contains("enum")) {
        for (const Json& v : flat["enum"])
          if ((!only_objects || v.is_object()) && allows(flat, v, path)) ways.push_back(literal(v));
        continue;
      }
      for (const std::string& type : types(flat))
        if (!only_objects || type == "object") ways.push_back(of_type(flat, type, path));
    }
    return g_.either(std::move(ways));
  }

  State literal(const Json& v) {
    std::string text;
    append_value(text, v, syntax_);
    return g_.literal(text);
  }

  // As stated; else those that the keywords are about; else all.
  static std::vector<std::string> types(const Json& flat) {
    if (const Json* stated = find(flat, "type")) return stated->get<std::vector<std::string>>();
    static const std::pair<const char*, std::vector<const char*>> kAbout[] = {
        {"object", {"properties", "required", "additionalProperties", "minProperties", "maxProperties"}},
        {"array", {"items", "prefixItems", "minItems", "maxItems"}},
        {"string", {"pattern", "format", "minLength", "maxLength"}},
        {"number", {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}}};
    std::vector<std::string> out;
    for (const auto& [type, keywords] : kAbout)
      if (std::any_of(keywords.begin(), keywords.end(), [&](const char* k) { return flat.contains(k); }))
        out.push_back(type);
    if (out.empty()) out = {"object", "array", "string", "number", "boolean", "null"};
    return out;
  }

  // Whether a value of enum meets the keywords beside it.
  bool allows(const Json& flat, const Json& v, const std::string& path) {
    const std::string_view type = type_name(v);
    if (const Json* stated = find(flat, "type")) {
      const auto has = [&](std::string_view t) {
        return std::find(stated->begin(), stated->end(), t) != stated->end();
      };
      if (!has(type) && !(type == "integer" && has("number"))) return false;
    }
    if (v.is_number()) {
      const double x = v.get<double>();
      const auto bound = [&](const char* key) {
        return flat.contains(key) ? std::optional(flat[key].get<double>()) : std::nullopt;
      };
      return x >= bound("minimum").value_or(x) && x <= bound("maximum").value_or(x) &&
             (!bound("exclusiveMinimum") || x > *bound("exclusiveMinimum")) &&
             (!bound("exclusiveMaximum") || x < *bound("exclusiveMaximum"));
    }
    if (v.is_string()) {
      std::string text;
      append_string(text, v.get_ref<const std::string&>(), syntax_);
      const bool bounded = flat.contains("pattern") || flat.contains("format") ||
                           flat.contains("minLength") || flat.contains("maxLength");
      return !bounded || g_.accepts(g_.advance(string(flat, path), text));
    }
    for (const char* key : {"properties", "required", "items", "prefixItems", "minItems", "maxItems",
                            "minProperties", "maxProperties"})
      if (v.is_structured() && flat.contains(key))
        flattener_.fail(path, "enum", "with objects or arrays beside other keywords is not supported");
    return true;
  }

  State of_type(const Json& flat, const std::string& type, const std::string& path) {
    if (type == "null") return g_.literal("null");
    if (type == "boolean") return g_.either(g_.literal("true"), g_.literal("false"));
    if (type == "string") return string(flat, path);
    if (type == "object") return object(flat, path);
    if (type == "array") return array(flat, path);
    const auto bound = [&](const char* closed, const char* open, bool least) -> std::optional<NumberBound> {
      std::optional<NumberBound> out;
      if (const Json* v = find(flat, closed)) out = NumberBound{v->get<double>(), false};
      if (const Json* v = find(flat, open)) {
        const double x = v->get<double>();
        if (!out || (least ? x >= out->value : x <= out->value)) out = NumberBound{x, true};
      }
      return out;
    };
    const auto least = bound("minimum", "exclusiveMinimum", true),
               most = bound("maximum", "exclusiveMaximum", false);
    return type == "integer" ? integer_text(g_, least, most) : number_text(g_, least, most);
  }

  State string(const Json& flat, const std::string& path) {
    const int min = count_of(flat, "minLength", 0), max = count_of(flat, "maxLength", Grammar::kNoLimit);
    std::vector<std::string> patterns;
    if (const Json* stated = find(flat, "pattern")) patterns = stated->get<std::vector<std::string>>();
    if (const Json* format = find(flat, "format"))
      if (const std::string_view known = format_pattern(format->get<std::string>()); !known.empty())
        patterns.emplace_back(known);
    if (max != Grammar::kNoLimit && max < min) return Grammar::kNothing;
    const bool limited = min > 0 || max != Grammar::kNoLimit;
    if (patterns.empty() && !limited) return string_;
    if (patterns.empty()) return quoted(g_, g_.repeat(any_character(g_, syntax_), min, max), syntax_);
    State inside =
        limited ? g_.repeat(character(g_, kAnyCode, syntax_), min, max) : g_.complement(Grammar::kNothing);
    const std::string where = fmt::format("{} at {}: \"pattern\"", name_, path);
    for (const std::string& p : patterns) inside = g_.both(inside, pattern_text(g_, p, syntax_, where));
    return quoted(g_, inside, syntax_);
  }

  // A key that is none of `names`, its quotation marks included.
  State other_key(const Json& names) {
    std::vector<State> taken;
    for (const auto& [name, unused] : names.items())
      if (json_ || is_bare_key(name)) taken.push_back(g_.literal(string_text(name, syntax_)));
    constexpr CodeRange kBare[] = {{'-', '.'}, {'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
    const State key = json_ ? g_.repeat(character(g_, kAnyCode, syntax_), 0, Grammar::kNoLimit)
                            : g_.repeat(utf8_of(g_, kBare), 1, 64);
    const State other = g_.both(key, g_.complement(g_.either(std::move(taken))));
    return json_ ? quoted(g_, other, syntax_) : g_.unit(g_.concat(other, colon_));
  }

  State extra_member(const Json& names, State text) {
    if (text == Grammar::kNothing) return text;
    return json_ ? g_.concat({other_key(names), colon_, text}) : g_.concat(other_key(names), text);
  }

  State braces(Grammar::Members members) {
    members.first_separator = line_;
    members.separator = comma_;
    members.ordered = json_;
    return g_.concat({g_.byte('{'), g_.members(std::move(members)), line_, g_.byte('}')});
  }

  State brackets(State items, bool may_be_empty) {
    const State filled = g_.concat({g_.byte('['), line_, items, line_, g_.byte(']')});
    return may_be_empty ? g_.either(filled, g_.literal("[]")) : filled;
  }

  State object(const Json& flat, const std::string& path) {
    Json names = flat.contains("properties") ? flat["properties"] : Json::object();
    const Json required = flat.contains("required") ? flat["required"] : Json::array();
    const Json* extra = find(flat, "additionalProperties");
    const Json others = extra != nullptr ? *extra : Json(names.empty());
    for (const Json& name : required)
      if (!names.contains(name.get<std::string>()))
        names[name.get<std::string>()] = extra != nullptr ? *extra : Json(true);
    Grammar::Members members;
    for (const auto& [name, schema] : names.items()) {
      const bool needed = std::find(required.begin(), required.end(), name) != required.end();
      const State text =
          schema == Json(false) ? Grammar::kNothing : value(schema, path + "/properties/" + name);
      if (text == Grammar::kNothing && needed) return Grammar::kNothing;
      if (text == Grammar::kNothing) continue;
      std::string key;
      append_key(key, name, syntax_);
      members.named.push_back({g_.concat({g_.literal(key), colon_, text}), needed});
    }
    if (others != Json(false))
      members.extra = extra_member(names, value(others, path + "/additionalProperties"));
    const auto least = static_cast<size_t>(count_of(flat, "minProperties", 0));
    const auto most = static_cast<size_t>(count_of(flat, "maxProperties", INT32_MAX));
    if (most == 0) return required.empty() && least == 0 ? g_.literal("{}") : Grammar::kNothing;
    if (most < members.named.size() || (most < INT32_MAX && members.extra != Grammar::kNothing))
      flattener_.fail(path, "maxProperties", "is supported only when the properties listed are no more");
    if (least > std::max<size_t>(required.size(), 1))
      flattener_.fail(path, "minProperties", "is supported up to 1 or the number of required properties");
    members.not_empty = least > 0;
    if (members.not_empty && members.named.empty() && members.extra == Grammar::kNothing)
      return Grammar::kNothing;
    return braces(std::move(members));
  }

  State array(const Json& flat, const std::string& path) {
    const Json prefix = flat.contains("prefixItems") ? flat["prefixItems"] : Json::array();
    const Json* items = find(flat, "items");
    const State item = items != nullptr ? value(*items, path + "/items")
                       : prefix.empty() ? any(kAnyDepth)
                                        : Grammar::kNothing;
    const int min = count_of(flat, "minItems", 0), max = count_of(flat, "maxItems", Grammar::kNoLimit);
    if (max != Grammar::kNoLimit && max < min) return Grammar::kNothing;
    if (max == 0) return g_.literal("[]");
    auto n = static_cast<int>(prefix.size());
    if (max != Grammar::kNoLimit) n = std::min(n, max);
    // From the last one: what may stand behind i items.
    const int rest_max = max == Grammar::kNoLimit ? max : max - std::max(n, 1);
    State tail = g_.repeat(g_.concat(comma_, item), std::max(min - std::max(n, 1), 0), rest_max);
    if (n == 0) return brackets(g_.concat(item, tail), min == 0);
    for (int i = n - 1; i >= 0; --i) {
      const State one = value(prefix[static_cast<size_t>(i)], fmt::format("{}/prefixItems/{}", path, i));
      tail = g_.concat(one, tail);
      if (i > 0) tail = g_.concat(comma_, tail);
      if (i > 0 && min <= i) tail = g_.optional(tail);
    }
    return brackets(tail, min == 0);
  }

  State any(int depth) {
    if (any_.empty()) any_.resize(kAnyDepth + 1, Grammar::kNothing);
    for (int d = 0; d <= depth; ++d) {
      State& s = any_[static_cast<size_t>(d)];
      if (s != Grammar::kNothing) continue;
      std::vector<State> ways = {string_, number_text(g_, {}, {}), g_.literal("true"), g_.literal("false"),
                                 g_.literal("null")};
      if (d > 0) {
        const State inner = any_[static_cast<size_t>(d) - 1];
        Grammar::Members members;
        members.extra = extra_member(Json::object(), inner);
        ways.push_back(braces(std::move(members)));
        ways.push_back(
            brackets(g_.concat(inner, g_.repeat(g_.concat(comma_, inner), 0, Grammar::kNoLimit)), true));
      }
      const int rule = g_.new_rule();
      g_.define(rule, g_.either(std::move(ways)));
      s = g_.call(rule);
    }
    return any_[static_cast<size_t>(depth)];
  }

  Grammar& g_;
  bool json_;
  StringSyntax syntax_;
  const std::string& name_;
  SchemaFlattener flattener_;
  const std::unordered_set<std::string>& empty_;  // schemas known to have no value
  int first_rule_;
  State line_, colon_, comma_, string_;
  std::unordered_map<std::string, int> rules_;  // by the schema's text
  std::vector<Todo> todo_;
  std::vector<State> any_;  // by depth
};

State compile(Grammar& g, const Json& schema, StringSyntax syntax, const std::string& name,
              bool only_objects) {
  if (schema.dump().size() > kMaxSchemaBytes)
    throw_error(ErrorKind::kTooLarge, "{}: the schema has more than {} bytes", name, kMaxSchemaBytes);
  std::unordered_set<std::string> none, dead, unused;
  State s = Compiler(g, schema, syntax, name, none).compile(schema, only_objects, dead);
  // Without the schemas that turned out to be empty, so that no text leads into one.
  if (s != Grammar::kNothing && !dead.empty())
    s = Compiler(g, schema, syntax, name, dead).compile(schema, only_objects, unused);
  if (s == Grammar::kNothing)
    throw_error(ErrorKind::kBadRequest,
                "{}: no {} satisfies the schema (contradicting or endlessly nested keywords)", name,
                only_objects ? "object" : "value");
  return s;
}

}  // namespace

State schema_text(Grammar& g, const Json& schema, StringSyntax syntax, const std::string& name) {
  return compile(g, schema, syntax, name, false);
}

State object_text(Grammar& g, const Json& schema, StringSyntax syntax, const std::string& name) {
  return compile(g, schema, syntax, name, true);
}

}  // namespace tessera
