#pragma once
// Image: 8-bit RGB pixels, and how files become and leave them.
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tessera/tessera.h"

namespace tessera {

struct Image {
  int width = 0, height = 0;
  std::vector<uint8_t> rgb;  // [height, width, 3]
};

/// A JPEG, PNG, WebP, GIF (first frame), BMP or TIFF, told apart by their first bytes, as upright RGB: grey
/// is replicated, palettes are expanded, alpha is dropped, 16-bit samples keep their high byte, EXIF
/// orientation is applied. Pixels equal Pillow's convert("RGB") (tests/fixtures/media/README.md lists what
/// differs and why). `name` is used in errors only. Throws kBadMedia (unknown, truncated or corrupt) and
/// kTooLarge (file bytes, or the pixels that the header announces, before a decoder takes memory). Any
/// thread.
Image decode_image(std::span<const uint8_t> file, const std::string& name, const MediaLimits& limits = {});

/// `orientation`: 1 … 8 as in EXIF tag 274; anything else leaves the image as it is.
Image apply_orientation(Image image, int orientation);

/// Any thread. Throws kBadRequest for an empty image.
std::vector<uint8_t> encode_png(const Image& image);

/// Draws one-pixel lines where 48-pixel patches begin, black on light pixels and white on dark ones.
Image draw_patch_grid(const Image& image);

}  // namespace tessera
