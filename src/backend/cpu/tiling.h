#pragma once
// Sizes that the kernels and the code that cuts the work share.
#include <cstdint>

namespace tessera::cpu {

inline constexpr int64_t kPanel = 16;       // output rows of a weight panel (docs/DESIGN.md, CPU weights)
inline constexpr int64_t kMaxQueries = 32;  // queries of one attention tile
// Weight panels that a product's inner loops take at once, at most: the units of its work.
inline constexpr int64_t kFloatTilePanels = 3, kQuantTilePanels = 4;
inline constexpr int64_t kStreamPanels = 24;  // panels of an item when one row streams the weights

}  // namespace tessera::cpu
