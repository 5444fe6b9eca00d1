#include "engine/kv_pages.h"

#include <numeric>

namespace tessera {

KvPages::KvPages(int64_t sequences, int64_t blocks_per_sequence)
    : per_sequence_(blocks_per_sequence),
      table_(static_cast<size_t>(sequences * blocks_per_sequence)),
      users_(table_.size(), 1) {
  std::iota(table_.begin(), table_.end(), 0);
}

void KvPages::share(int64_t to, int64_t from, int64_t index) {
  int32_t& mine = table_[at(to, index)];
  const int32_t theirs = table_[at(from, index)];
  if (mine == theirs) return;
  if (--users_[static_cast<size_t>(mine)] == 0) free_.push_back(mine);
  ++users_[static_cast<size_t>(theirs)];
  mine = theirs;
}

int32_t KvPages::own(int64_t sequence, int64_t index) {
  int32_t& mine = table_[at(sequence, index)];
  if (users_[static_cast<size_t>(mine)] == 1) return -1;
  const int32_t before = mine;
  --users_[static_cast<size_t>(before)];
  mine = free_.back();
  free_.pop_back();
  users_[static_cast<size_t>(mine)] = 1;
  return before;
}

}  // namespace tessera
