#pragma once
// Merges: the ranked pair list of a byte-pair encoding, and its application to a sequence of symbols.
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tessera {

/// Immutable once filled; any thread may read, each with its own Scratch.
class Merges {
 public:
  static constexpr uint32_t kNoRank = UINT32_MAX;

  Merges() = default;
  explicit Merges(int64_t pairs);  // at most 2^31 - 1

  /// The pair (left, right) becomes `result`; a lower rank merges first. Adding a pair again replaces its
  /// entry (as in the reference). At most `pairs` calls; ids >= 0; rank < kNoRank.
  void add(int32_t left, int32_t right, uint32_t rank, int32_t result);

  struct Merge {
    uint32_t rank = kNoRank;
    int32_t result = 0;
  };
  /// rank == kNoRank when the pair does not merge.
  Merge find(int32_t left, int32_t right) const;

  /// A symbol of a sequence while it is being merged; part of Scratch.
  struct Node {
    int32_t id = 0;
    int32_t next_id = 0;      // what this node and its right neighbour become
    uint32_t rank = kNoRank;  // of that pair
    uint32_t previous = 0, next = 0;
  };
  struct Scratch {
    std::vector<Node> nodes;
    std::vector<uint64_t> heap;  // rank << 32 | position: the lowest rank first, the leftmost of equals
  };

  /// Merges the pair of lowest rank, the leftmost of equal ones, until no pair is in the list. O(n log n).
  /// symbols.size() < 2^32.
  void apply(std::vector<int32_t>& symbols, Scratch& scratch) const;

 private:
  struct Slot {
    uint64_t key = kEmpty;  // left << 32 | right
    Merge merge;
  };
  static constexpr uint64_t kEmpty = UINT64_MAX;
  size_t slot_of(uint64_t key) const;

  std::vector<Slot> slots_;  // a power of two, at most half full; linear probing
  int shift_ = 63;
};

}  // namespace tessera
