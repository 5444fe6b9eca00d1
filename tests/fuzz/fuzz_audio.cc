// Any bytes as a sound: an Error or at most the limit's samples, all finite.
#include <cmath>
#include <cstdlib>

#include "media/audio.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tessera::MediaLimits limits;
  limits.max_file_bytes = 1 << 16;
  limits.max_audio_s = 2;
  try {
    const std::vector<float> samples = tessera::decode_audio({data, size}, "fuzz", limits);
    if (samples.empty() || samples.size() > 2U * tessera::kSampleHz + 1) std::abort();
    for (float v : samples) {
      if (!std::isfinite(v)) std::abort();
    }
  } catch (const tessera::Error&) {
  }
  return 0;
}
