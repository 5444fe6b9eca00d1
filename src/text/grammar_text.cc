#include "text/grammar_text.h"

#include <algorithm>
#include <map>

#include "text/call_parser.h"
#include "text/utf8.h"

namespace tessera {

namespace {

using State = Grammar::State;

State byte_range(Grammar& g, unsigned first, unsigned last) {
  ByteSet set;
  for (unsigned b = first; b <= last; ++b) set.set(b);
  return g.bytes(set);
}

State any_of(Grammar& g, std::string_view bytes) {
  ByteSet set;
  for (const char c : bytes) set.set(static_cast<uint8_t>(c));
  return g.bytes(set);
}

// Encodings of one length, from `lo` to `hi`, both from byte `at` on.
State between(Grammar& g, std::string lo, std::string hi, size_t at) {
  const auto byte = [](const std::string& s, size_t i) { return static_cast<uint8_t>(s[i]); };
  if (at + 1 == lo.size()) return byte_range(g, byte(lo, at), byte(hi, at));
  if (lo[at] == hi[at]) return g.concat(g.byte(byte(lo, at)), between(g, lo, hi, at + 1));
  std::vector<State> ways;
  unsigned first = byte(lo, at), last = byte(hi, at);
  std::string rest = lo;
  std::fill(rest.begin() + static_cast<ptrdiff_t>(at) + 1, rest.end(), '\xBF');
  if (lo.find_first_not_of('\x80', at + 1) != std::string::npos)
    ways.push_back(g.concat(g.byte(static_cast<uint8_t>(first++)), between(g, lo, rest, at + 1)));
  std::fill(rest.begin() + static_cast<ptrdiff_t>(at) + 1, rest.end(), '\x80');
  if (hi.find_first_not_of('\xBF', at + 1) != std::string::npos)
    ways.push_back(g.concat(g.byte(static_cast<uint8_t>(last--)), between(g, rest, hi, at + 1)));
  if (first <= last) {
    const auto more = static_cast<int>(lo.size() - at - 1);
    ways.push_back(g.concat(byte_range(g, first, last), g.repeat(byte_range(g, 0x80, 0xBF), more, more)));
  }
  return g.either(std::move(ways));
}

std::vector<CodeRange> within(std::span<const CodeRange> codes, CodeRange limits) {
  std::vector<CodeRange> out;
  for (const CodeRange& r : codes)
    if (r.first <= limits.last && r.last >= limits.first)
      out.push_back({std::max(r.first, limits.first), std::min(r.last, limits.last)});
  return out;
}

std::string escaped(char32_t code) {
  constexpr std::string_view kShort = "\b\f\n\r\t\"\\", kLetters = "bfnrt\"\\";
  const size_t at = kShort.find(static_cast<char>(code));
  if (at != std::string_view::npos) return {'\\', kLetters[at]};
  constexpr char kHex[] = "0123456789abcdef";
  return {'\\', 'u', '0', '0', kHex[code >> 4], kHex[code & 15]};
}

}  // namespace

State utf8_of(Grammar& g, std::span<const CodeRange> codes) {
  constexpr CodeRange kLengths[] = {
      {0, 0x7F}, {0x80, 0x7FF}, {0x800, 0xD7FF}, {0xE000, 0xFFFF}, {0x10000, 0x10FFFF}};
  std::vector<State> ways;
  ByteSet ascii;
  for (const CodeRange& length : kLengths) {
    for (const CodeRange& r : within(codes, length)) {
      if (r.last < 0x80) {
        for (char32_t c = r.first; c <= r.last; ++c) ascii.set(c);
        continue;
      }
      std::string lo, hi;
      append_utf8(lo, r.first);
      append_utf8(hi, r.last);
      ways.push_back(between(g, lo, hi, 0));
    }
  }
  ways.push_back(g.bytes(ascii));
  return g.either(std::move(ways));
}

State character(Grammar& g, std::span<const CodeRange> codes, StringSyntax syntax) {
  std::vector<CodeRange> plain;
  const auto keep = [&](CodeRange limits) {
    for (const CodeRange& r : within(codes, limits)) plain.push_back(r);
  };
  if (syntax == StringSyntax::kCall) {
    for (const CodeRange limits : {CodeRange{'\t', '\n'}, {'\r', '\r'}, {0x20, 0x10FFFF}}) keep(limits);
    return utf8_of(g, plain);
  }
  for (const CodeRange limits : {CodeRange{0x20, 0x21}, {0x23, 0x5B}, {0x5D, 0x10FFFF}}) keep(limits);
  std::vector<State> ways = {utf8_of(g, plain)};
  for (const CodeRange limits : {CodeRange{0, 0x1F}, {'"', '"'}, {'\\', '\\'}})
    for (const CodeRange& r : within(codes, limits))
      for (char32_t c = r.first; c <= r.last; ++c) ways.push_back(g.literal(escaped(c)));
  return g.either(std::move(ways));
}

State any_character(Grammar& g, StringSyntax syntax) {
  if (syntax == StringSyntax::kCall) return character(g, kAnyCode, syntax);
  constexpr CodeRange kPlain[] = {{0x20, 0x21}, {0x23, 0x5B}, {0x5D, 0x10FFFF}};
  const State hex = any_of(g, "0123456789abcdefABCDEF"), d = any_of(g, "dD");
  const State two = g.concat(hex, hex), three = g.concat(hex, two);
  const State high = g.concat({d, any_of(g, "89abAB"), two}), low = g.concat({d, any_of(g, "cdefCDEF"), two});
  const State code =
      g.either({g.concat(any_of(g, "0123456789abcefABCEF"), three), g.concat({d, any_of(g, "01234567"), two}),
                g.concat({high, g.literal("\\u"), low})});
  const State escape = g.either(any_of(g, "\"\\/bfnrt"), g.concat(g.byte('u'), code));
  return g.either(utf8_of(g, kPlain), g.concat(g.byte('\\'), escape));
}

State quoted(Grammar& g, State inside, StringSyntax syntax) {
  const State mark = g.byte(syntax == StringSyntax::kJson ? uint8_t{'"'} : static_cast<uint8_t>(kQuoteMark));
  return g.concat(mark, g.unit(g.concat(inside, mark)));
}

std::string string_text(std::string_view utf8, StringSyntax syntax) {
  if (syntax == StringSyntax::kCall) return std::string(utf8);
  std::string out;
  for (const char c : utf8) {
    const auto b = static_cast<uint8_t>(c);
    if (b < 0x20 || c == '"' || c == '\\') {
      out += escaped(b);
    } else {
      out += c;
    }
  }
  return out;
}

std::string_view format_pattern(std::string_view format) {
#define TS_TIME "([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,9})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)"
#define TS_DATE                                                                                              \
  "(\\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|(0[469]|11)-(0[1-9]|[12]\\d|30)|02-(0[1-9]|1\\d|2[0-8])" \
  ")"                                                                                                        \
  "|(\\d\\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)"
#define TS_BYTE "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
#define TS_HOST "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
#define TS_HEX4 "[0-9A-Fa-f]{1,4}"
  static const std::map<std::string_view, std::string_view> kPatterns = {
      {"date", "^" TS_DATE "$"},
      {"time", "^" TS_TIME "$"},
      {"date-time", "^" TS_DATE "T" TS_TIME "$"},
      {"duration",
       "^P(\\d{1,6}W|\\d{1,6}Y(\\d{1,6}M)?(\\d{1,6}D)?|\\d{1,6}M(\\d{1,6}D)?|\\d{1,6}D)$|"
       "^P(\\d{1,6}D)?T(\\d{1,6}H(\\d{1,6}M)?(\\d{1,6}S)?|\\d{1,6}M(\\d{1,6}S)?|\\d{1,6}S)$"},
      {"uuid", "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"},
      {"ipv4", "^(" TS_BYTE "\\.){3}" TS_BYTE "$"},
      {"ipv6", "^((" TS_HEX4 ":){7}" TS_HEX4 "|(" TS_HEX4 ":){1,7}:|:(:" TS_HEX4 "){1,7}|(" TS_HEX4
               ":){1,6}:" TS_HEX4 "|(" TS_HEX4 ":){1,4}(:" TS_HEX4 "){2,3}|::)$"},
      {"hostname", "^" TS_HOST "(\\." TS_HOST "){0,8}$"},
      {"email", "^[A-Za-z0-9_%+-]{1,64}(\\.[A-Za-z0-9_%+-]{1,64}){0,4}@(" TS_HOST "\\.){1,6}[A-Za-z]{2,24}$"},
      {"uri", "^[A-Za-z][A-Za-z0-9+.-]{0,31}:([A-Za-z0-9._~:/?#@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+$"},
  };
#undef TS_TIME
#undef TS_DATE
#undef TS_BYTE
#undef TS_HOST
#undef TS_HEX4
  const auto found = kPatterns.find(format);
  return found == kPatterns.end() ? std::string_view() : found->second;
}

}  // namespace tessera
