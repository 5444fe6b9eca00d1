#include "media/patches.h"

#include "base/error.h"
#include "media/target_size.h"

namespace tessera {

Patches to_patches(const Image& image) {
  TS_CHECK(
      image.width > 0 && image.height > 0 && image.width % kPatchSide == 0 && image.height % kPatchSide == 0,
      "patches of a {}x{} image", image.width, image.height);
  Patches patches{image.width / kPatchSide, image.height / kPatchSide, {}};
  patches.values.resize(image.rgb.size());
  const size_t row_values = static_cast<size_t>(kPatchSide) * 3;
  const uint8_t* from = image.rgb.data();
  for (int y = 0; y < image.height; ++y) {
    for (int col = 0; col < patches.cols; ++col, from += row_values) {
      const size_t patch = static_cast<size_t>(y / kPatchSide) * patches.cols + col;
      float* to = &patches.values[patch * kPatchValues + (y % kPatchSide) * row_values];
      // A float32 product with 1/255, as the reference does; dividing by 255 differs in the last bit.
      for (size_t i = 0; i < row_values; ++i) to[i] = static_cast<float>(from[i]) * (1.0F / 255.0F);
    }
  }
  return patches;
}

}  // namespace tessera
