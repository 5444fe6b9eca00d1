#include "text/call_parser.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "text/python_text.h"

namespace tessera {

namespace {

constexpr std::string_view kBlanks = " \t\r\n";
constexpr int kMaxDepth = 64;

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
         c == '-';
}

// A string as JSON. The text is UTF-8: quote marks inside it are turned back into the token's string.
std::string json_string(std::string_view text) {
  std::string plain;
  for (const char c : text) {
    if (c == kQuoteMark) {
      plain += "<|\"|>";
    } else {
      plain += c;
    }
  }
  return nlohmann::json(std::move(plain)).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// Reads arguments into JSON text. Each read_* appends one value and leaves the position behind it, or gives
// up (false); a number keeps its digits.
class ArgumentReader {
 public:
  ArgumentReader(std::string_view text, bool may_lack_end) : text_(text), may_lack_end_(may_lack_end) {}

  /// The members up to `close`, the opening bracket already taken, and nothing but blanks and brackets behind
  /// it.
  std::optional<std::string> read(char close) {
    std::string json;
    if (!read_members(json, close)) return std::nullopt;
    if (text_.find_first_not_of(" \t\r\n})", at_) != std::string_view::npos) return std::nullopt;
    return json;
  }

 private:
  bool at_end() const { return at_ == text_.size(); }
  char peek() const { return text_[at_]; }
  void skip_blanks() { at_ = std::min(text_.find_first_not_of(kBlanks, at_), text_.size()); }

  // A list's or object's separator or end. `done`: the bracket closed, or the text ended where it may.
  bool next_member(char close, bool& done) {
    skip_blanks();
    done = at_end();
    if (done) return may_lack_end_;
    done = peek() == close;
    if (!done && peek() != ',') return false;
    ++at_;
    return true;
  }

  bool read_members(std::string& json, char close) {
    json += '{';
    bool first = true;
    for (bool done = false; !done;) {
      skip_blanks();
      if (!at_end() && peek() != close) {
        std::string key;
        if (!read_key(key)) return false;
        if (!first) json += ',';
        first = false;
        json.append(key).append(":");
        if (!read_value(json, close, true)) return false;
      }
      if (!next_member(close, done)) return false;
    }
    json += '}';
    return true;
  }

  bool read_list(std::string& json) {
    json += '[';
    bool first = true;
    for (bool done = false; !done;) {
      skip_blanks();
      if (!at_end() && peek() != ']') {
        if (!first) json += ',';
        first = false;
        if (!read_value(json, ']', false)) return false;
      }
      if (!next_member(']', done)) return false;
    }
    json += ']';
    return true;
  }

  bool read_key(std::string& key) {
    if (peek() == kQuoteMark || peek() == '"' || peek() == '\'' || peek() == '`') {
      if (!read_quoted(key)) return false;
      skip_blanks();
    } else {
      const size_t end = text_.find_first_of(":}", at_);
      if (end == std::string_view::npos || end == at_) return false;
      const std::string_view bare = python_strip(text_.substr(at_, end - at_));
      if (bare.empty() || bare.find(kQuoteMark) != std::string_view::npos) return false;
      key = json_string(bare);
      at_ = end;
    }
    if (at_end() || peek() != ':') return false;
    ++at_;
    return true;
  }

  // A string in the delimiter that stands here. The token's strings and backticks are verbatim; JSON's have
  // escapes.
  bool read_quoted(std::string& json) {
    const char quote = peek();
    size_t end = at_ + 1;
    while (end < text_.size() && text_[end] != quote) end += quote == '"' && text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) return false;
    const std::string_view inside = text_.substr(at_ + 1, end - at_ - 1);
    if (quote == '"') {
      const auto parsed = nlohmann::json::parse(text_.substr(at_, end + 1 - at_), nullptr, false);
      json += parsed.is_string() ? parsed.dump() : json_string(inside);  // for example a raw line break
    } else {
      json += json_string(inside);
    }
    at_ = end + 1;
    return true;
  }

  // True when what follows could end a value: a separator or a closing bracket.
  bool value_ends() {
    const size_t next = text_.find_first_not_of(kBlanks, at_);
    return next == std::string_view::npos ||
           std::string_view(",}])").find(text_[next]) != std::string_view::npos;
  }

  bool read_value(std::string& json, char close, bool in_object) {
    skip_blanks();
    if (at_end()) return false;
    if (peek() == kQuoteMark) return read_quoted(json);
    const size_t start = at_, length = json.size();
    if (peek() == '"' || peek() == '`' || peek() == '\'') {
      if (read_quoted(json) && value_ends()) return true;
    } else if ((peek() == '{' || peek() == '[') && depth_ < kMaxDepth) {
      const bool object = peek() == '{';
      ++at_;
      ++depth_;
      const bool read = object ? read_members(json, '}') : read_list(json);
      --depth_;
      if (read && value_ends()) return true;
      return false;  // not as bare text: each level would be read again, which is exponential in the depth
    }
    at_ = start;
    json.resize(length);
    return read_bare(json, close, in_object);
  }

  // A number, a literal, or a string that the model did not quote: up to the separator or bracket that ends
  // it.
  bool read_bare(std::string& json, char close, bool in_object) {
    int open = 0;
    size_t end = at_;
    for (; end < text_.size(); ++end) {
      const char c = text_[end];
      if (c == kQuoteMark) return false;
      const bool opens = c == '{' || c == '[' || (c == '(' && close == ')');
      const bool closes = c == '}' || c == ']' || (c == ')' && close == ')');
      if (open == 0 && (closes || (c == ',' && (!in_object || key_follows(end + 1))))) break;
      open += static_cast<int>(opens) - static_cast<int>(closes);
    }
    if (end == text_.size() && !may_lack_end_) return false;
    const std::string_view value = python_strip(text_.substr(at_, end - at_));
    at_ = end;
    if (value == "True" || value == "False" || value == "None") {
      json += value == "None" ? "null" : value == "True" ? "true" : "false";
      return true;
    }
    const bool literal = value == "true" || value == "false" || value == "null";
    const bool number = !value.empty() && (value[0] == '-' || (value[0] >= '0' && value[0] <= '9')) &&
                        value.find('\0') == std::string_view::npos &&  // where the JSON library stops reading
                        nlohmann::json::accept(value);
    json += literal || number ? std::string(value) : json_string(value);
    return true;
  }

  // Whether a key and a colon stand at `from`: then the comma before it separates members, else it belongs to
  // the string ("city:Paris, France,unit:c").
  bool key_follows(size_t from) const {
    size_t at = text_.find_first_not_of(kBlanks, from);
    if (at == std::string_view::npos || text_[at] == kQuoteMark || text_[at] == '"' || text_[at] == '}')
      return true;
    const size_t begin = at;
    while (at < text_.size() && at - begin < 64 && is_name_char(text_[at])) ++at;
    const size_t colon = text_.find_first_not_of(kBlanks, at);
    return at > begin && colon != std::string_view::npos && text_[colon] == ':';
  }

  std::string_view text_;
  bool may_lack_end_;
  size_t at_ = 0;
  int depth_ = 0;
};

// The name at the end of what stands before the arguments: "call:get_weather", ":get_weather",
// "\"get_weather\"".
std::string call_name(std::string_view head) {
  const size_t end = head.find_last_not_of(" \t\r\n\"'`\xFF");
  if (end == std::string_view::npos) return {};
  size_t begin = end + 1;
  while (begin > 0 && is_name_char(head[begin - 1])) --begin;
  return std::string(head.substr(begin, end + 1 - begin));
}

}  // namespace

ToolCall parse_call(std::string_view body, bool may_lack_end) {
  ToolCall call;
  const size_t open = body.find_first_of("{(");
  call.name = call_name(body.substr(0, open));
  std::optional<std::string> arguments;
  if (open != std::string_view::npos) {
    const char close = body[open] == '{' ? '}' : ')';
    arguments = ArgumentReader(body.substr(open + 1), may_lack_end).read(close);
  } else if (may_lack_end && body.ends_with(":" + call.name)) {
    arguments = "{}";  // "call:now"
  }
  if (call.name.empty() || !arguments) {
    call.parsed = false;
    call.arguments_json.clear();
    for (const char c : body) {
      if (c == kQuoteMark) {
        call.arguments_json += "<|\"|>";
      } else {
        call.arguments_json += c;
      }
    }
    return call;
  }
  call.arguments_json = std::move(*arguments);
  return call;
}

}  // namespace tessera
