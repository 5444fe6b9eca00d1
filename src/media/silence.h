#pragma once
// Where a long recording can be cut.
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace tessera {

/// Ranges [begin, end) of samples, one after the other, none longer than `longest` (at least one second). A
/// range ends in the middle of the quietest 300 ms of its second half: where nothing is said, if there is
/// such a place, and else between words. Pure; any thread.
std::vector<std::pair<size_t, size_t>> cut_at_silences(std::span<const float> samples, size_t longest);

}  // namespace tessera
