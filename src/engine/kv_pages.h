#pragma once
// Which page of the full layers each block of each sequence is in. Sequences that begin alike may have a page
// together until one of them writes to it.
#include <cstdint>
#include <span>
#include <vector>

namespace tessera {

/// One thread. Every block has a page at all times, as many pages as blocks: while one is shared, another is
/// free.
class KvPages {
 public:
  KvPages(int64_t sequences, int64_t blocks_per_sequence);

  int32_t page(int64_t sequence, int64_t index) const { return table_[at(sequence, index)]; }
  /// Of one sequence, [blocks_per_sequence].
  std::span<const int32_t> row(int64_t sequence) const {
    return std::span(table_).subspan(at(sequence, 0), static_cast<size_t>(per_sequence_));
  }
  /// Block `index` of `to` becomes that of `from`.
  void share(int64_t to, int64_t from, int64_t index);
  /// Before writing to a block. Returns the page that it was in when that is another sequence's, too: it has
  /// a page of its own now, with other contents. -1: it had one.
  int32_t own(int64_t sequence, int64_t index);
  /// Blocks that need no page of their own.
  int64_t shared() const { return static_cast<int64_t>(free_.size()); }

 private:
  size_t at(int64_t sequence, int64_t index) const {
    return static_cast<size_t>(sequence * per_sequence_ + index);
  }

  int64_t per_sequence_;
  std::vector<int32_t> table_;  // [sequences][blocks_per_sequence]
  std::vector<int32_t> users_;  // [pages] blocks in the page
  // The last to become free is taken first: it has been written to, so that the system gave memory for it.
  std::vector<int32_t> free_;
};

}  // namespace tessera
