#pragma once
// Languages over bytes as expressions, and their automaton by derivatives: the derivative of a language by a
// byte is what may follow that byte. Expressions are kept once each (equal ones have equal numbers), so that
// an expression's number is a state: a small value to copy, compare and look masks up by. (Brzozowski 1964;
// rules make it context-free: a rule is opened when a byte reaches it.)
#include <array>
#include <bitset>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace tessera {

using ByteSet = std::bitset<256>;

/// Not thread-safe: advance() makes states as they are reached.
class Grammar {
 public:
  using State = int32_t;
  static constexpr State kNothing = 0;  // no text at all: a dead end
  static constexpr State kEnd = 1;      // the empty text
  static constexpr int kNoLimit = -1;

  /// `max_token_bytes`: see clamped().
  explicit Grammar(int max_token_bytes);

  State bytes(const ByteSet& set);
  State byte(uint8_t b);
  State literal(std::string_view text);
  State concat(State a, State b);
  State concat(std::initializer_list<State> parts);
  State either(State a, State b);
  State either(std::vector<State> parts);
  /// `a` at least `min` and at most `max` times.
  State repeat(State a, int min, int max);
  State optional(State a) { return either(a, kEnd); }
  /// Text that both have; kNothing when there is none, which a search over the automaton finds out.
  State both(State a, State b);
  /// Every text that `a` is not. Only as an operand of both().
  State complement(State a);
  /// `a` as one piece: masks are kept for it whatever follows.
  State unit(State a);

  /// Rules may call each other and themselves; a rule's text is never empty and starts with a byte of its
  /// own.
  int new_rule();
  void define(int rule, State body) { rules_[static_cast<size_t>(rule)] = body; }
  State call(int rule);
  State body(int rule) const { return rules_[static_cast<size_t>(rule)]; }
  int rules() const { return static_cast<int>(rules_.size()); }

  /// The members of an object, opened one at a time, so that n optional members take n alternatives and not
  /// 2^n.
  struct Member {
    State text;  // key and value
    bool required = false;
  };
  struct Members {
    std::vector<Member> named;
    State extra = kNothing;  // any further member, as often as wanted, behind those that are named
    State first_separator = kEnd, separator = kEnd;
    bool ordered = true;  // named ones in their order
    bool not_empty = false;
  };
  State members(Members members);

  State advance(State state, uint8_t byte) {
    if (static_cast<size_t>(state) < row_of_.size() && row_of_[static_cast<size_t>(state)] >= 0) {
      const State next = rows_[static_cast<size_t>(row_of_[static_cast<size_t>(state)]) + class_of_[byte]];
      if (next >= 0) return next;
    }
    return first_advance(state, byte);
  }
  State advance(State state, std::string_view bytes);
  bool accepts(State state) const { return node(state).accepts; }  // the empty text

  /// Whether any text leads to an end, when exactly the rules of `live` have any text.
  bool has_text(State state, const std::vector<bool>& live) const;

  enum class Kind : uint8_t {
    kNothing,
    kEnd,
    kBytes,
    kConcat,
    kEither,
    kRepeat,
    kBoth,
    kNot,
    kUnit,
    kCall,
    kMembers
  };
  Kind kind(State s) const { return node(s).kind; }
  State left(State s) const { return node(s).a; }  // kConcat, kEither: head, the rest
  State right(State s) const { return node(s).b; }
  /// A state that takes the same tokens: counts beyond the longest token do not matter.
  State clamped(State s);
  int64_t states() const { return static_cast<int64_t>(nodes_.size()); }

 private:
  struct Node {
    Kind kind;
    bool accepts = false;
    bool far = false;  // has counts that clamped() lowers
    State a = 0, b = 0;
    int min = 0, max = 0;
  };
  struct Key {
    uint64_t x, y, z;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& k) const;
  };

  const Node& node(State s) const { return nodes_[static_cast<size_t>(s)]; }
  State intern(const Node& n);
  State meet(State a, State b);  // both(), without the search
  State first_advance(State s, uint8_t byte);
  State derive(State s, uint8_t byte);
  State open_members(State s);
  State members_state(int object, bool first, const std::vector<bool>& seen);
  bool alive(State both);
  void classify();

  int max_token_bytes_;
  std::vector<Node> nodes_;
  std::unordered_map<Key, State, KeyHash> known_;
  std::vector<ByteSet> sets_;
  std::unordered_map<ByteSet, int> set_ids_;
  std::vector<State> rules_;
  std::vector<Members> objects_;
  std::vector<std::vector<bool>>
      seen_;  // of objects_[i]: named members there already; ordered: up to the next
  std::unordered_map<std::vector<bool>, int> seen_ids_;
  std::unordered_map<State, State> opened_, clamped_;
  std::unordered_map<State, bool> alive_;
  // Derivatives, for classes of bytes that no set tells apart.
  std::array<uint8_t, 256> class_of_{};
  int classes_ = 0;
  std::vector<int32_t> row_of_;  // where a state's row begins in rows_; -1: none yet
  std::vector<State> rows_;      // [rows][classes_]; -1: unknown. Both empty when sets_ has changed
};

}  // namespace tessera
