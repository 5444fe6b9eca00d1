#pragma once
// Sizes that the kernels and the code that cuts the work share.
#include <cstdint>

namespace tessera::cpu {

inline constexpr int64_t kPanel = 16;  // output rows of a weight panel (docs/DESIGN.md, CPU weights)
// Keys that share one softmax before segments are merged. A row's segments are cut at fixed positions, so
// what it adds up, and in which order, does not depend on the step.
inline constexpr int64_t kSegment = 512;
inline constexpr int64_t kMaxQueries = 32;  // queries of one attention tile
// Weight panels that a product's inner loops take at once, at most: the units of its work.
inline constexpr int64_t kFloatTilePanels = 3, kQuantTilePanels = 4;
// Items of a product on bfloat16 terms: each reads all rows' terms, 12 MB for 512 rows of 3,840, from the
// last-level cache.
inline constexpr int64_t kTermPanels = 24;
inline constexpr int64_t kStreamPanels = 24;  // panels of an item when one row streams the weights

}  // namespace tessera::cpu
