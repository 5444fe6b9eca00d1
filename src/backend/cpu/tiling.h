#pragma once
// Sizes that the kernels and the code that cuts the work share.
#include <cstdint>

namespace tessera::cpu {

inline constexpr int64_t kMaxQueries = 32;  // queries of one attention tile
inline constexpr int64_t kItemPanels = 6;   // weight panels of one unit of a product's work: 96 outputs

}  // namespace tessera::cpu
