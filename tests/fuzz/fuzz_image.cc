// Any bytes as an image: an Error or pixels within the limits.
#include <cstdlib>

#include "media/image.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tessera::MediaLimits limits;
  limits.max_file_bytes = 1 << 16;
  limits.max_image_pixels = 1 << 16;
  try {
    const tessera::Image image = tessera::decode_image({data, size}, "fuzz", limits);
    if (image.rgb.size() != static_cast<size_t>(image.width) * image.height * 3) std::abort();
  } catch (const tessera::Error&) {
  }
  return 0;
}
