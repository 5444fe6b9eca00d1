#pragma once
// Vocabulary: token strings ↔ ids. One arena of bytes, one open-addressed table.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

/// Ids are dense, 0 … size() - 1. Immutable once filled; any thread may read.
class Vocabulary {
 public:
  static constexpr int32_t kNone = -1;

  /// Room for `tokens` tokens, ids 0 … tokens - 1, all still without a string. `arena` holds the strings that
  /// the spans given to add() lie in.
  Vocabulary() = default;
  Vocabulary(std::string arena, int64_t tokens);

  enum class Added { kYes, kIdTaken, kTextTaken };
  /// Gives arena[begin, begin + length) the id `id`, 0 <= id < size(). Each id and each string once.
  Added add(int32_t id, uint32_t begin, uint32_t length);

  int32_t size() const { return static_cast<int32_t>(spans_.size()); }
  /// The first id without a string; kNone when there is none.
  int32_t first_gap() const;
  bool has(int32_t id) const { return spans_[static_cast<size_t>(id)].begin != kUnset; }
  std::string_view text(int32_t id) const {
    const Span& span = spans_[static_cast<size_t>(id)];
    return {arena_.data() + span.begin, span.length};
  }
  /// kNone when no token has this string.
  int32_t find(std::string_view text) const;

 private:
  static constexpr uint32_t kUnset = UINT32_MAX;
  struct Span {
    uint32_t begin = kUnset, length = 0;
  };
  struct Slot {
    uint32_t hash = 0;
    int32_t id = kNone;
  };

  std::string arena_;
  std::vector<Span> spans_;
  std::vector<Slot> slots_;  // a power of two, at most half full; linear probing
};

}  // namespace tessera
