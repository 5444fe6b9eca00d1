#pragma once
#include <vector>

#include "media/image.h"

namespace tessera {

inline constexpr int kPatchValues = 48 * 48 * 3;

/// 48x48-pixel patches in row-major order; patch n lies at column n % cols, row n / cols, which are its (x,
/// y) position ids.
struct Patches {
  int cols = 0, rows = 0;
  std::vector<float> values;  // [rows * cols, 6912] in [0, 1]; index (y * 48 + x) * 3 + channel
};

/// Sides must be multiples of 48 (TS_CHECK). Pure; any thread.
Patches to_patches(const Image& image);

}  // namespace tessera
