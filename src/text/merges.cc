#include "text/merges.h"

#include <algorithm>
#include <bit>
#include <functional>

namespace tessera {

namespace {
constexpr uint32_t kEnd = UINT32_MAX;  // no neighbour

uint64_t pair_key(int32_t left, int32_t right) {
  return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) | static_cast<uint32_t>(right);
}
}  // namespace

Merges::Merges(int64_t pairs) : slots_(std::bit_ceil(static_cast<size_t>(pairs) * 2 + 2)) {
  shift_ = 64 - std::countr_zero(slots_.size());
}

size_t Merges::slot_of(uint64_t key) const {
  // The high bits of the product depend on all bits of the key; the low ones only on the right id.
  const size_t mask = slots_.size() - 1;
  size_t at = static_cast<size_t>(((key ^ (key >> 29)) * 0x9E3779B97F4A7C15U) >> shift_);
  while (slots_[at].key != key && slots_[at].key != kEmpty) at = (at + 1) & mask;
  return at;
}

void Merges::add(int32_t left, int32_t right, uint32_t rank, int32_t result) {
  const uint64_t key = pair_key(left, right);
  slots_[slot_of(key)] = {key, {rank, result}};
}

Merges::Merge Merges::find(int32_t left, int32_t right) const {
  if (slots_.empty()) return {};
  return slots_[slot_of(pair_key(left, right))].merge;  // an empty slot has kNoRank
}

void Merges::apply(std::vector<int32_t>& symbols, Scratch& scratch) const {
  const auto count = static_cast<uint32_t>(symbols.size());
  if (count < 2) return;
  auto& nodes = scratch.nodes;
  auto& heap = scratch.heap;
  nodes.resize(count);
  heap.clear();
  for (uint32_t i = 0; i < count; ++i) {
    Merge merge;
    if (i + 1 < count) merge = find(symbols[i], symbols[i + 1]);
    nodes[i] = {symbols[i], merge.result, merge.rank, i == 0 ? kEnd : i - 1, i + 1 < count ? i + 1 : kEnd};
    if (merge.rank != kNoRank) heap.push_back((static_cast<uint64_t>(merge.rank) << 32) | i);
  }
  if (heap.empty()) return;
  std::make_heap(heap.begin(), heap.end(), std::greater<>());

  // A node's pair as it is now. Entries of former pairs stay in the heap and are recognised by their rank:
  // symbols only grow, so a pair that is gone from a node never comes back to it.
  const auto look_up = [&](uint32_t at) {
    Node& node = nodes[at];
    const Merge merge = node.next == kEnd ? Merge{} : find(node.id, nodes[node.next].id);
    node.rank = merge.rank, node.next_id = merge.result;
    if (merge.rank == kNoRank) return;
    heap.push_back((static_cast<uint64_t>(merge.rank) << 32) | at);
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const uint64_t top = heap.back();
    heap.pop_back();
    const auto at = static_cast<uint32_t>(top);
    Node& node = nodes[at];
    if (node.rank != static_cast<uint32_t>(top >> 32)) continue;
    Node& right = nodes[node.next];
    node.id = node.next_id;
    node.next = right.next;
    right.rank = kNoRank;  // swallowed
    if (node.next != kEnd) nodes[node.next].previous = at;
    look_up(at);
    if (node.previous != kEnd) look_up(node.previous);
  }
  symbols.clear();
  for (uint32_t i = 0; i != kEnd; i = nodes[i].next) symbols.push_back(nodes[i].id);
}

}  // namespace tessera
