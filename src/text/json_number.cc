#include "text/json_number.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>

namespace tessera {

namespace {

using State = Grammar::State;

constexpr int64_t kMost = 999'999'999'999'999'999;
constexpr int kFractionDigits = 17;

State digits(Grammar& g, char first, char last) {
  ByteSet set;
  for (char c = first; c <= last; ++c) set.set(static_cast<uint8_t>(c));
  return g.bytes(set);
}

State any_digits(Grammar& g, int min = 0) {
  return g.repeat(digits(g, '0', '9'), min, kFractionDigits);
}

// Numbers of as many digits as both bounds have, from digit `at` on.
State same_length(Grammar& g, const std::string& lo, const std::string& hi, size_t at) {
  const bool all = lo.find_first_not_of('0', at) == std::string::npos &&
                   hi.find_first_not_of('9', at) == std::string::npos;
  const auto left = static_cast<int>(lo.size() - at);
  if (all) return g.repeat(digits(g, '0', '9'), left, left);
  const std::string nines = lo.substr(0, at + 1) + std::string(lo.size() - at - 1, '9');
  const std::string zeros = hi.substr(0, at + 1) + std::string(hi.size() - at - 1, '0');
  if (lo[at] == hi[at]) return g.concat(digits(g, lo[at], lo[at]), same_length(g, lo, hi, at + 1));
  const auto rest = static_cast<int>(lo.size() - at - 1);
  std::vector<State> ways = {g.concat(digits(g, lo[at], lo[at]), same_length(g, lo, nines, at + 1)),
                             g.concat(digits(g, hi[at], hi[at]), same_length(g, zeros, hi, at + 1))};
  if (lo[at] + 1 < hi[at])
    ways.push_back(g.concat(digits(g, static_cast<char>(lo[at] + 1), static_cast<char>(hi[at] - 1)),
                            g.repeat(digits(g, '0', '9'), rest, rest)));
  return g.either(std::move(ways));
}

// 0 <= lo; nothing when hi < lo.
State natural(Grammar& g, int64_t lo, int64_t hi) {
  std::vector<State> ways;
  for (int64_t first = 0, last = 9;; first = last + 1, last = last * 10 + 9) {
    if (std::max(lo, first) <= std::min(hi, last))
      ways.push_back(
          same_length(g, std::to_string(std::max(lo, first)), std::to_string(std::min(hi, last)), 0));
    if (last == kMost) break;  // ten times that is no int64_t
  }
  return g.either(std::move(ways));
}

// A bound of at least 0 in decimal; digits beyond those that numbers may have are cut.
struct Decimal {
  int64_t whole = 0;
  std::string fraction;  // without zeros at its end
  bool exclusive = false;
};

Decimal decimal(NumberBound bound) {
  if (bound.value >= static_cast<double>(kMost)) return {kMost, "", false};
  char text[512];
  const auto end = std::to_chars(text, text + sizeof text, bound.value, std::chars_format::fixed).ptr;
  const std::string all(text, end);
  const size_t point = std::min(all.find('.'), all.size());
  Decimal d{std::stoll(all.substr(0, point)), point < all.size() ? all.substr(point + 1) : "",
            bound.exclusive};
  while (d.fraction.ends_with('0')) d.fraction.pop_back();
  return d;
}

State not_zero(Grammar& g) {
  return g.concat(
      {g.repeat(digits(g, '0', '0'), 0, kFractionDigits - 1), digits(g, '1', '9'), any_digits(g)});
}

// The point and what stands behind it, or nothing, of fractions at least / at most `f`.
State fraction_from(Grammar& g, const std::string& f, bool exclusive) {
  const State point = g.byte('.');
  if (f.empty())
    return exclusive ? g.concat(point, not_zero(g)) : g.optional(g.concat(point, any_digits(g, 1)));
  State s = exclusive ? not_zero(g) : any_digits(g);
  for (size_t i = f.size(); i-- > 0;) {
    s = g.concat(digits(g, f[i], f[i]), s);
    if (f[i] < '9') s = g.either(s, g.concat(digits(g, static_cast<char>(f[i] + 1), '9'), any_digits(g)));
  }
  return g.concat(point, s);
}

State fraction_to(Grammar& g, const std::string& f, bool exclusive) {
  const State zeros = g.repeat(digits(g, '0', '0'), 0, kFractionDigits);
  if (f.empty())
    return exclusive ? Grammar::kNothing : g.optional(g.concat({g.byte('.'), digits(g, '0', '0'), zeros}));
  State s = exclusive ? Grammar::kNothing : zeros;
  for (size_t i = f.size(); i-- > 0;) {
    s = g.concat(digits(g, f[i], f[i]), s);
    if (f[i] > '0') s = g.either(s, g.concat(digits(g, '0', static_cast<char>(f[i] - 1)), any_digits(g)));
    if (i > 0) s = g.either(s, Grammar::kEnd);  // fewer digits are less
  }
  return g.optional(g.concat(g.byte('.'), s));
}

// Without a sign.
State magnitude(Grammar& g, const Decimal& lo, const Decimal& hi) {
  if (lo.whole > hi.whole) return Grammar::kNothing;
  const State any = g.optional(g.concat(g.byte('.'), any_digits(g, 1)));
  const State from = fraction_from(g, lo.fraction, lo.exclusive),
              to = fraction_to(g, hi.fraction, hi.exclusive);
  if (lo.whole == hi.whole) return g.concat(g.literal(std::to_string(lo.whole)), g.both(from, to));
  return g.either({g.concat(g.literal(std::to_string(lo.whole)), from),
                   g.concat(g.literal(std::to_string(hi.whole)), to),
                   g.concat(natural(g, lo.whole + 1, hi.whole - 1), any)});
}

}  // namespace

State integer_text(Grammar& g, std::optional<NumberBound> least, std::optional<NumberBound> most) {
  int64_t lo = -kMost, hi = kMost;
  constexpr auto kLimit = static_cast<double>(kMost);
  if (least) {
    if (least->value >= kLimit) return Grammar::kNothing;
    const double first = std::ceil(least->value);
    if (first > -kLimit)
      lo = static_cast<int64_t>(first) + (least->exclusive && first == least->value ? 1 : 0);
  }
  if (most) {
    if (most->value <= -kLimit) return Grammar::kNothing;
    const double last = std::floor(most->value);
    if (last < kLimit) hi = static_cast<int64_t>(last) - (most->exclusive && last == most->value ? 1 : 0);
  }
  const State negative = lo < 0 ? natural(g, std::max<int64_t>(1, -hi), -lo) : Grammar::kNothing;
  return g.unit(g.either(natural(g, std::max<int64_t>(lo, 0), hi), g.concat(g.byte('-'), negative)));
}

State number_text(Grammar& g, std::optional<NumberBound> least, std::optional<NumberBound> most) {
  const NumberBound none{static_cast<double>(kMost), false};
  if (!least && !most) {
    ByteSet e, sign;
    e.set('e').set('E');
    sign.set('+').set('-');
    const State exponent =
        g.concat({g.bytes(e), g.optional(g.bytes(sign)), g.repeat(digits(g, '0', '9'), 1, 2)});
    const State fraction = g.concat(g.byte('.'), any_digits(g, 1));
    return g.unit(g.concat(
        {g.optional(g.byte('-')), natural(g, 0, kMost), g.optional(fraction), g.optional(exponent)}));
  }
  State positive = Grammar::kNothing, negative = Grammar::kNothing;
  if (!most || most->value > 0 || (most->value == 0 && !most->exclusive)) {
    const NumberBound zero{0, false};
    positive =
        magnitude(g, decimal(least && least->value >= 0 ? *least : zero), decimal(most.value_or(none)));
  }
  if (!least || least->value < 0) {
    const NumberBound from =
        most && most->value <= 0 ? NumberBound{-most->value, most->exclusive} : NumberBound{0, false};
    const NumberBound to = least ? NumberBound{-least->value, least->exclusive} : none;
    negative = g.concat(g.byte('-'), magnitude(g, decimal(from), decimal(to)));
  }
  return g.unit(g.either(positive, negative));
}

}  // namespace tessera
