#include "text/grammar.h"

#include <algorithm>

#include "base/error.h"

namespace tessera {

namespace {
// 4 million states are 120 MB; a schema of a page takes some thousands, a long reply tens of thousands.
constexpr size_t kMaxStates = size_t{4} << 20;
}  // namespace

size_t Grammar::KeyHash::operator()(const Key& k) const {
  uint64_t h = k.x * 0x9E3779B97F4A7C15U;
  h = (h ^ (h >> 29) ^ k.y) * 0xBF58476D1CE4E5B9U;
  h = (h ^ (h >> 32) ^ k.z) * 0x94D049BB133111EBU;
  return static_cast<size_t>(h ^ (h >> 31));
}

Grammar::Grammar(int max_token_bytes) : max_token_bytes_(std::max(max_token_bytes, 1)) {
  intern({Kind::kNothing});
  intern({Kind::kEnd, true});
}

Grammar::State Grammar::intern(const Node& n) {
  const Key key{uint64_t{static_cast<uint8_t>(n.kind)} << 32 | static_cast<uint32_t>(n.a),
                uint64_t{static_cast<uint32_t>(n.b)} << 32 | static_cast<uint32_t>(n.min),
                static_cast<uint32_t>(n.max)};
  const auto [found, added] = known_.try_emplace(key, static_cast<State>(nodes_.size()));
  if (added) {
    if (nodes_.size() == kMaxStates)
      throw_error(
          ErrorKind::kTooLarge,
          "the JSON schema's automaton has more than {} states; use fewer counted repeats and alternatives",
          kMaxStates);
    nodes_.push_back(n);
  }
  return found->second;
}

Grammar::State Grammar::bytes(const ByteSet& set) {
  if (set.none()) return kNothing;
  const auto [found, added] = set_ids_.try_emplace(set, static_cast<int>(sets_.size()));
  if (added) {
    sets_.push_back(set);
    row_of_.clear();
    rows_.clear();
  }
  return intern({Kind::kBytes, false, false, found->second});
}

Grammar::State Grammar::byte(uint8_t b) {
  ByteSet set;
  set.set(b);
  return bytes(set);
}

Grammar::State Grammar::literal(std::string_view text) {
  State s = kEnd;
  for (size_t i = text.size(); i-- > 0;) s = concat(byte(static_cast<uint8_t>(text[i])), s);
  return s;
}

Grammar::State Grammar::concat(State a, State b) {
  if (a == kNothing || b == kNothing) return kNothing;
  if (a == kEnd) return b;
  if (b == kEnd) return a;
  // Nested to the right: the left one is what is read now, the right one the stack of what comes then.
  std::vector<State> heads;
  while (kind(a) == Kind::kConcat) {
    heads.push_back(left(a));
    a = right(a);
  }
  heads.push_back(a);
  for (size_t i = heads.size(); i-- > 0;)
    b = intern({Kind::kConcat, node(heads[i]).accepts && node(b).accepts, node(heads[i]).far || node(b).far,
                heads[i], b});
  return b;
}

Grammar::State Grammar::concat(std::initializer_list<State> parts) {
  State s = kEnd;
  for (size_t i = parts.size(); i-- > 0;) s = concat(parts.begin()[i], s);
  return s;
}

Grammar::State Grammar::either(State a, State b) {
  if (a == b || b == kNothing) return a;
  if (a == kNothing) return b;
  return either(std::vector<State>{a, b});
}

Grammar::State Grammar::either(std::vector<State> parts) {
  std::vector<State> flat;
  for (State p : parts) {
    for (; kind(p) == Kind::kEither; p = right(p)) flat.push_back(left(p));
    if (p != kNothing) flat.push_back(p);
  }
  std::sort(flat.begin(), flat.end());
  flat.erase(std::unique(flat.begin(), flat.end()), flat.end());
  if (flat.empty()) return kNothing;
  State s = flat.back();
  for (size_t i = flat.size() - 1; i-- > 0;)
    s = intern({Kind::kEither, node(flat[i]).accepts || node(s).accepts, node(flat[i]).far || node(s).far,
                flat[i], s});
  return s;
}

Grammar::State Grammar::repeat(State a, int min, int max) {
  if (max == 0 || a == kEnd) return kEnd;
  if (a == kNothing) return min == 0 ? kEnd : kNothing;
  if (node(a).accepts) min = 0;
  if (min == 1 && max == 1) return a;
  const bool far = node(a).far || min > max_token_bytes_ + 1 || max > max_token_bytes_ + 1;
  return intern({Kind::kRepeat, min == 0, far, a, 0, min, max});
}

Grammar::State Grammar::both(State a, State b) {
  const State s = meet(a, b);
  return kind(s) == Kind::kBoth && !alive(s) ? kNothing : s;
}

Grammar::State Grammar::meet(State a, State b) {
  if (a == kNothing || b == kNothing) return kNothing;
  if (a == b) return a;
  if (kind(a) == Kind::kNot && left(a) == kNothing) return b;
  if (kind(b) == Kind::kNot && left(b) == kNothing) return a;
  if (a > b) std::swap(a, b);
  return intern({Kind::kBoth, node(a).accepts && node(b).accepts, false, a, b});
}

Grammar::State Grammar::complement(State a) {
  return intern({Kind::kNot, !node(a).accepts, false, a});
}

Grammar::State Grammar::unit(State a) {
  if (a == kNothing || a == kEnd || kind(a) == Kind::kUnit) return a;
  return intern({Kind::kUnit, node(a).accepts, node(a).far, a});
}

int Grammar::new_rule() {
  rules_.push_back(kNothing);
  return rules() - 1;
}

Grammar::State Grammar::call(int rule) {
  return intern({Kind::kCall, false, false, rule});
}

Grammar::State Grammar::members(Members m) {
  const std::vector<bool> none(m.named.size());
  objects_.push_back(std::move(m));
  return members_state(static_cast<int>(objects_.size()) - 1, true, none);
}

Grammar::State Grammar::members_state(int object, bool first, const std::vector<bool>& seen) {
  const Members& m = objects_[static_cast<size_t>(object)];
  const auto [found, added] = seen_ids_.try_emplace(seen, static_cast<int>(seen_.size()));
  if (added) seen_.push_back(seen);
  bool accepts = !(first && m.not_empty);
  for (size_t i = 0; i < m.named.size(); ++i) accepts = accepts && (seen[i] || !m.named[i].required);
  return intern({Kind::kMembers, accepts, false, object, found->second, first ? 1 : 0});
}

// All ways to go on with a list of members, as an ordinary expression.
Grammar::State Grammar::open_members(State s) {
  if (const auto found = opened_.find(s); found != opened_.end()) return found->second;
  const Node n = node(s);
  const Members& m = objects_[static_cast<size_t>(n.a)];
  std::vector<bool> seen = seen_[static_cast<size_t>(n.b)];
  const State separator = n.min == 1 ? m.first_separator : m.separator;
  std::vector<State> ways;
  if (n.accepts) ways.push_back(kEnd);
  bool needed = false;  // a required member must come first
  for (size_t i = 0; i < m.named.size() && !(needed && m.ordered); ++i) {
    if (seen[i]) continue;
    seen[i] = true;
    ways.push_back(concat({separator, m.named[i].text, members_state(n.a, false, seen)}));
    needed = needed || m.named[i].required;
    seen[i] = m.ordered;  // those passed over do not come later
  }
  if (!needed && m.extra != kNothing) {
    if (m.ordered) seen.assign(seen.size(), true);
    ways.push_back(concat({separator, m.extra, members_state(n.a, false, seen)}));
  }
  return opened_[s] = either(std::move(ways));
}

void Grammar::classify() {
  std::unordered_map<std::string, int> classes;
  for (size_t b = 0; b < 256; ++b) {
    std::string in(sets_.size(), '0');
    for (size_t i = 0; i < sets_.size(); ++i) in[i] = sets_[i][b] ? '1' : '0';
    class_of_[b] =
        static_cast<uint8_t>(classes.try_emplace(in, static_cast<int>(classes.size())).first->second);
  }
  classes_ = static_cast<int>(classes.size());
}

Grammar::State Grammar::first_advance(State s, uint8_t byte) {
  if (kind(s) <= Kind::kBytes) return derive(s, byte);
  if (rows_.empty()) classify();
  if (row_of_.size() <= static_cast<size_t>(s)) row_of_.resize(nodes_.size(), -1);
  constexpr size_t kMaxCells = size_t{4} << 20;  // 16 MB; beyond it derivatives are made anew
  int32_t row = row_of_[static_cast<size_t>(s)];
  if (row < 0 && rows_.size() < kMaxCells) {
    row = row_of_[static_cast<size_t>(s)] = static_cast<int32_t>(rows_.size());
    rows_.resize(rows_.size() + static_cast<size_t>(classes_), -1);
  }
  const State next = derive(s, byte);
  if (row >= 0) rows_[static_cast<size_t>(row) + class_of_[byte]] = next;
  return next;
}

Grammar::State Grammar::advance(State s, std::string_view text) {
  for (size_t i = 0; i < text.size() && s != kNothing; ++i) s = advance(s, static_cast<uint8_t>(text[i]));
  return s;
}

Grammar::State Grammar::derive(State s, uint8_t byte) {
  const Node n = node(s);
  switch (n.kind) {
    case Kind::kNothing:
    case Kind::kEnd:
      return kNothing;
    case Kind::kBytes:
      return sets_[static_cast<size_t>(n.a)][byte] ? kEnd : kNothing;
    case Kind::kConcat: {
      std::vector<State> ways;
      for (State at = s;; at = right(at)) {
        const bool more = kind(at) == Kind::kConcat;
        const State head = more ? left(at) : at;
        const State next = advance(head, byte);
        ways.push_back(more ? concat(next, right(at)) : next);
        if (!more || !node(head).accepts) break;
      }
      return ways.size() == 1 ? ways[0] : either(std::move(ways));
    }
    case Kind::kEither: {
      std::vector<State> ways;
      State at = s;
      for (; kind(at) == Kind::kEither; at = right(at)) ways.push_back(advance(left(at), byte));
      ways.push_back(advance(at, byte));
      return either(std::move(ways));
    }
    case Kind::kRepeat: {
      const State next = advance(n.a, byte);
      if (next == kNothing) return kNothing;
      return concat(next, repeat(n.a, std::max(n.min - 1, 0), n.max == kNoLimit ? kNoLimit : n.max - 1));
    }
    case Kind::kBoth: {
      const State a = advance(n.a, byte);
      return a == kNothing ? kNothing : both(a, advance(n.b, byte));
    }
    case Kind::kNot:
      return complement(advance(n.a, byte));
    case Kind::kUnit:
      return unit(advance(n.a, byte));
    case Kind::kCall:
      return advance(body(n.a), byte);
    case Kind::kMembers:
      return advance(open_members(s), byte);
  }
  return kNothing;
}

// Whether two languages have a common text: a walk to the first state that accepts. What it passes is
// remembered.
bool Grammar::alive(State s) {
  if (node(s).accepts) return true;
  if (const auto found = alive_.find(s); found != alive_.end()) return found->second;
  struct Step {
    State state;
    int next_byte;
  };
  std::vector<Step> path = {{s, 0}};
  std::vector<State> dead;
  std::unordered_map<State, bool> visited = {{s, true}};
  bool found = false;
  while (!path.empty() && !found) {
    Step& step = path.back();
    if (step.next_byte == 256) {
      path.pop_back();
      continue;
    }
    const auto b = static_cast<uint8_t>(step.next_byte++);
    const Node n = node(step.state);
    const State a = advance(n.a, b);
    const State next = a == kNothing ? kNothing : meet(a, advance(n.b, b));
    if (next == kNothing || !visited.try_emplace(next, true).second) continue;
    const auto known = alive_.find(next);
    // An operand that meet() dropped leaves the other alone: an ordinary language has a text, if it is not
    // kNothing.
    found = node(next).accepts || kind(next) != Kind::kBoth || (known != alive_.end() && known->second);
    if (!found && known == alive_.end()) path.push_back({next, 0});
    if (visited.size() > 200'000)
      throw_error(ErrorKind::kTooLarge,
                  "a string's pattern and length together have more than {} states; shorten them", 200'000);
  }
  if (found) {
    for (const Step& step : path) alive_[step.state] = true;
  } else {
    for (const auto& [state, unused] : visited) alive_[state] = false;
  }
  return found;
}

bool Grammar::has_text(State s, const std::vector<bool>& live) const {
  const Node& n = node(s);
  switch (n.kind) {
    case Kind::kNothing:
      return false;
    case Kind::kConcat:
    case Kind::kEither: {
      State at = s;
      bool all = true, any = false;
      for (; kind(at) == n.kind; at = right(at)) {
        const bool has = has_text(left(at), live);
        all = all && has;
        any = any || has;
      }
      const bool has = has_text(at, live);
      return n.kind == Kind::kConcat ? all && has : any || has;
    }
    case Kind::kRepeat:
      return n.min == 0 || has_text(n.a, live);
    case Kind::kUnit:
      return has_text(n.a, live);
    case Kind::kCall:
      return live[static_cast<size_t>(n.a)];
    case Kind::kMembers: {
      const Members& m = objects_[static_cast<size_t>(n.a)];
      bool any = m.extra != kNothing && has_text(m.extra, live);
      for (const Member& member : m.named) {
        const bool has = has_text(member.text, live);
        if (member.required && !has) return false;
        any = any || has;
      }
      return any || !m.not_empty;
    }
    default:
      return true;
  }
}

Grammar::State Grammar::clamped(State s) {
  const Node n = node(s);
  if (!n.far) return s;
  if (const auto found = clamped_.find(s); found != clamped_.end()) return found->second;
  State to = s;
  const int most = max_token_bytes_ + 1;
  switch (n.kind) {
    case Kind::kConcat:
      to = concat(clamped(n.a), clamped(n.b));
      break;
    case Kind::kEither:
      to = either(clamped(n.a), clamped(n.b));
      break;
    case Kind::kRepeat:
      to = repeat(clamped(n.a), std::min(n.min, most), n.max == kNoLimit ? kNoLimit : std::min(n.max, most));
      break;
    case Kind::kUnit:
      to = unit(clamped(n.a));
      break;
    default:
      break;
  }
  return clamped_[s] = to;
}

}  // namespace tessera
