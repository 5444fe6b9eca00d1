#pragma once
// The half of decoding that meets untrusted bytes, and all that it leaves.
#include <string>
#include <vector>

#include "media/bytes.h"
#include "media/image.h"
#include "tessera/tessera.h"

namespace tessera {

/// What a confined process is asked to try instead of decoding, so that its bounds can be checked where it
/// runs.
enum class Drill { kNone, kForbidden, kCrash, kSpin, kSleep, kEat, kFlood, kLie };

/// What is to be decoded, and how.
struct DecodeJob {
  MediaKind kind = MediaKind::kImage;
  std::string name;             // in errors
  int soft_token_budget = 280;  // of an image
  VideoOptions video;
  MediaLimits limits;
  Drill drill = Drill::kNone;
};

/// Pixels and samples: a plain function of the file, on which the model's input depends alone.
struct Decoded {
  std::vector<Image> images;        // at the model's size; an image: one; a video: one a sampled frame
  std::vector<double> timestamp_s;  // a video: of each frame
  std::vector<float> samples;       // a sound: 16 kHz mono
  int source_width = 0, source_height = 0, source_frames = 0;  // as in MediaData
  double source_fps = 0;
};

/// 27 KiB of patch values a token: 1.7 GiB. Far above a context that would hold them.
inline constexpr int64_t kMaxVideoSoftTokens = 65'536;

/// On this thread. Throws as Media::image, audio and video.
Decoded decode_here(Bytes file, const DecodeJob& job);
/// There if the limits name a process, else here.
Decoded decode(Bytes file, const DecodeJob& job);

}  // namespace tessera
