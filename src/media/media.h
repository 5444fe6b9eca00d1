#pragma once
// What a Media holds: the model's input and what people want to know about its source.
#include <string>
#include <vector>

#include "media/audio.h"
#include "media/image.h"
#include "media/patches.h"
#include "tessera/tessera.h"

namespace tessera {

struct MediaData {
  MediaKind kind = MediaKind::kImage;
  std::string name;
  std::vector<Patches> images;      // an image: one; a video: one a sampled frame, all of one grid
  std::vector<double> timestamp_s;  // a video: of each frame
  AudioFrames audio;
  Image preview;  // what the model sees of an image, or of a video's first frame

  int source_width = 0, source_height = 0;  // pixels, upright
  int source_frames = 0;                    // a video
  double source_fps = 0;                    // a video
  double duration_s = 0;                    // a sound or a video
};

/// Soft tokens of one Media: patches or audio frames, without markers and time stamps.
int soft_tokens(const MediaData& data);

}  // namespace tessera
