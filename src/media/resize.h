#pragma once
#include "media/image.h"

namespace tessera {

/// Antialiased bicubic (a = -0.5), horizontal pass first, 8-bit between the passes, integer weights: every
/// pixel equals the reference's. An axis that keeps its length is left alone. `image` must not be empty;
/// `width` and `height` in pixels, >= 1. Pure; any thread.
Image resize_bicubic(const Image& image, int width, int height);

}  // namespace tessera
