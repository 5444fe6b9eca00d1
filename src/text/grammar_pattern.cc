// Patterns of JSON Schema (ECMA 262 regular expressions) → languages.
#include <algorithm>
#include <optional>

#include "base/error.h"
#include "text/grammar_text.h"
#include "text/utf8.h"

namespace tessera {

namespace {

using State = Grammar::State;
using Codes = std::vector<CodeRange>;

constexpr int kMaxCount = 10'000, kMaxDepth = 64;
constexpr size_t kMaxPattern = 4096;

const Codes kDigits = {{'0', '9'}};
const Codes kWord = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
const Codes kSpace = {{'\t', '\r'},     {' ', ' '},       {0xA0, 0xA0},     {0x1680, 0x1680},
                      {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F},
                      {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
const Codes kLineEnds = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};

Codes inverse(Codes codes) {
  std::sort(codes.begin(), codes.end(),
            [](const CodeRange& a, const CodeRange& b) { return a.first < b.first; });
  Codes out;
  char32_t next = 0;
  for (const CodeRange& r : codes) {
    if (r.first > next) out.push_back({next, r.first - 1});
    next = std::max<char32_t>(next, r.last + 1);
  }
  if (next <= 0x10FFFF) out.push_back({next, 0x10FFFF});
  return out;
}

class PatternReader {
 public:
  PatternReader(Grammar& g, std::string_view text, StringSyntax syntax, const std::string& where)
      : g_(g), text_(text), syntax_(syntax), where_(where) {}

  State read() {
    if (text_.size() > kMaxPattern)
      throw_error(ErrorKind::kTooLarge, "{}: the pattern has {} bytes, at most {} are read", where_,
                  text_.size(), kMaxPattern);
    const State anything = g_.repeat(any(), 0, Grammar::kNoLimit);
    std::vector<State> ways;
    do {
      const bool from_start = take('^');
      State s = sequence(0);
      const bool to_end = take('$');
      if (!from_start) s = g_.concat(anything, s);
      if (!to_end) s = g_.concat(s, anything);
      ways.push_back(s);
    } while (take('|'));
    if (at_ != text_.size()) fail("the pattern goes on where it should end");
    return g_.either(std::move(ways));
  }

 private:
  [[noreturn]] void fail(std::string_view what) const {
    throw_error(ErrorKind::kBadRequest, "{}: {} at byte {}", where_, what, at_);
  }
  State any() { return character(g_, kAnyCode, syntax_); }
  bool more() const { return at_ < text_.size(); }
  bool next_is(char c) const { return more() && text_[at_] == c; }
  bool take(char c) {
    if (!next_is(c)) return false;
    ++at_;
    return true;
  }

  State alternatives(int depth) {
    std::vector<State> ways;
    int weight = 1;
    do {
      ways.push_back(sequence(depth));
      weight = std::max(weight, weight_);
    } while (take('|'));
    weight_ = weight;
    return g_.either(std::move(ways));
  }

  State sequence(int depth) {
    std::vector<State> parts;
    int weight = 1;
    while (more() && !next_is('|') && !next_is(')') && !(next_is('$') && depth == 0)) {
      parts.push_back(term(depth));
      weight = std::max(weight, weight_);
    }
    weight_ = weight;
    State s = Grammar::kEnd;
    for (size_t i = parts.size(); i-- > 0;) s = g_.concat(parts[i], s);
    return s;
  }

  State term(int depth) {
    const State s = atom(depth);
    int min = 1, max = 1;
    if (!count(min, max)) return s;
    const int64_t weight = int64_t{weight_} * std::max({min, max, 1});
    if (weight > kMaxCount)
      throw_error(ErrorKind::kTooLarge, "{}: counts inside each other come to more than {} at byte {}",
                  where_, kMaxCount, at_);
    weight_ = static_cast<int>(weight);
    if (next_is('*') || next_is('+') || next_is('{')) fail("a count after a count");
    return g_.repeat(s, min, max);
  }

  bool count(int& min, int& max) {
    if (take('*')) {
      min = 0, max = Grammar::kNoLimit;
    } else if (take('+')) {
      min = 1, max = Grammar::kNoLimit;
    } else if (take('?')) {
      min = 0, max = 1;
    } else if (next_is('{')) {
      const size_t begin = at_++;
      const auto low = number();
      std::optional<int> high = low;
      if (take(',')) high = next_is('}') ? std::optional(Grammar::kNoLimit) : number();
      if (!low || !high || !take('}')) {
        at_ = begin;
        fail("expected a count {m}, {m,} or {m,n} (a brace itself is \\{)");
      }
      min = *low, max = *high;
      if (max != Grammar::kNoLimit && max < min) fail("a count's end is below its beginning");
    } else {
      return false;
    }
    take('?');  // lazy: the same language
    return true;
  }

  std::optional<int> number() {
    const size_t begin = at_;
    int n = 0;
    for (; more() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      n = n * 10 + (text_[at_] - '0');
      if (n > kMaxCount) fail(fmt::format("a count is over {}", kMaxCount));
    }
    return at_ == begin ? std::nullopt : std::optional(n);
  }

  State atom(int depth) {
    weight_ = 1;
    if (depth > kMaxDepth) fail("groups are nested too deep");
    if (take('(')) {
      if (take('?')) {
        if (take('<')) {
          if (next_is('=') || next_is('!')) fail("look-behind is not supported");
          const size_t close = text_.find('>', at_);
          if (close == std::string_view::npos) fail("a group's name has no end");
          at_ = close + 1;
        } else if (!take(':')) {
          fail("look-ahead and flags are not supported");
        }
      }
      const State s = alternatives(depth + 1);
      if (!take(')')) fail("a group is not closed");
      return s;
    }
    if (next_is('^') || next_is('$')) fail("^ and $ are supported at the ends of the pattern only");
    if (next_is('*') || next_is('+') || next_is('?') || next_is('{')) fail("nothing to repeat");
    if (take('.')) return character(g_, inverse(kLineEnds), syntax_);
    if (take('[')) return character(g_, char_class(), syntax_);
    return character(g_, one(), syntax_);
  }

  Codes char_class() {
    const bool negated = take('^');
    Codes all;
    while (!take(']')) {
      if (!more()) fail("a class is not closed");
      Codes codes = one();
      const bool single = codes.size() == 1 && codes[0].first == codes[0].last;
      if (single && next_is('-') && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        ++at_;
        const Codes last = one();
        if (last.size() != 1 || last[0].first != last[0].last || last[0].first < codes[0].first)
          fail("a range in a class is upside down or ends in a class");
        codes[0].last = last[0].first;
      }
      all.insert(all.end(), codes.begin(), codes.end());
    }
    return inverse(negated ? all : inverse(all));  // sorted and without overlaps
  }

  // A character, or an escape that stands for several.
  Codes one() {
    const Utf8Char c = read_utf8(text_, at_);
    if (c.bytes == 0 || c.incomplete) fail("the pattern is not UTF-8");
    at_ += static_cast<size_t>(c.bytes);
    if (c.code != '\\') return {{c.code, c.code}};
    if (!more()) fail("the pattern ends in a backslash");
    const char kind = text_[at_++];
    const auto same = [](char32_t code) { return Codes{{code, code}}; };
    switch (kind) {
      case 'd':
        return kDigits;
      case 'D':
        return inverse(kDigits);
      case 'w':
        return kWord;
      case 'W':
        return inverse(kWord);
      case 's':
        return kSpace;
      case 'S':
        return inverse(kSpace);
      case 'n':
        return same('\n');
      case 'r':
        return same('\r');
      case 't':
        return same('\t');
      case 'f':
        return same('\f');
      case 'v':
        return same('\v');
      case '0':
        return same(0);
      case 'x':
        return same(hex(2));
      case 'u': {
        if (take('{')) {
          char32_t code = 0;
          while (more() && !next_is('}') && code <= 0x10FFFF) code = code * 16 + hex(1);
          if (!take('}') || code > 0x10FFFF) fail("expected \\u{…} with a code point");
          return same(code);
        }
        const char32_t code = hex(4);
        if (code < 0xD800 || code > 0xDBFF || !text_.substr(at_).starts_with("\\u")) return same(code);
        at_ += 2;
        const char32_t low = hex(4);
        if (low < 0xDC00 || low > 0xDFFF) fail("half a surrogate pair");
        return same(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00));
      }
      default:
        break;
    }
    const bool letter =
        (kind >= 'a' && kind <= 'z') || (kind >= 'A' && kind <= 'Z') || (kind >= '1' && kind <= '9');
    if (letter || static_cast<uint8_t>(kind) >= 0x80)
      fail(fmt::format("the escape \\{} is not supported", letter ? kind : '?'));
    return same(static_cast<char32_t>(kind));
  }

  char32_t hex(int digits) {
    char32_t code = 0;
    for (int i = 0; i < digits; ++i, ++at_) {
      const char c = more() ? text_[at_] : '\0';
      const int value = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (value < 0) fail("expected a hexadecimal digit");
      code = code * 16 + static_cast<char32_t>(value);
    }
    return code;
  }

  Grammar& g_;
  std::string_view text_;
  StringSyntax syntax_;
  const std::string& where_;
  size_t at_ = 0;
  int weight_ = 1;  // of what was read last: the largest product of counts inside each other
};

}  // namespace

State pattern_text(Grammar& g, std::string_view pattern, StringSyntax syntax, const std::string& where) {
  return PatternReader(g, pattern, syntax, where).read();
}

}  // namespace tessera
