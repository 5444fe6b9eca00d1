#pragma once
// Video files as a few frames, sampled evenly.
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "media/image.h"
#include "tessera/tessera.h"

namespace tessera {

struct VideoFrames {
  std::vector<Image> frames;        // upright, full size, in order of presentation
  std::vector<double> timestamp_s;  // of each: index / source_fps
  std::vector<int> index;           // of each, in the file
  int source_frames = 0;
  double source_fps = 0;      // 24 when the file does not tell
  int width = 0, height = 0;  // pixels of a frame, upright
};

/// floor(j * total / count) for j < count; all frames when fewer than `count` exist. `count`:
/// options.max_frames, or with options.fps > 0 int(total / source_fps * fps), at least 1 and at most 8 *
/// max_frames. Throws kBadRequest for options out of range.
std::vector<int> sample_frames(int total, double source_fps, const VideoOptions& options);

/// Takes sampled frame `k` (0, 1, …). A file that turns out to hold fewer pictures than packets is sampled
/// anew: then `k` starts again at 0 and what was taken before is void.
using TakeFrame = std::function<void(size_t k, Image&& frame)>;

/// MP4, MOV, WebM or Matroska, told apart by their first bytes. Frames go to `take` one by one when it is
/// given (VideoFrames::frames stays empty), so that no more than one is held here. Rotation is applied.
/// Decodes only the groups of pictures that hold a sampled frame. `name` is used in errors only. Throws
/// kBadMedia (unknown, corrupt, no pictures), kTooLarge (file bytes, pixels of a frame, duration),
/// kBadRequest (options). Any thread.
VideoFrames decode_video(std::span<const uint8_t> file, const std::string& name,
                         const VideoOptions& options = {}, const MediaLimits& limits = {},
                         const TakeFrame& take = {});

/// "mm:ss", rounded down; minutes grow beyond two digits.
std::string timestamp_text(double s);

}  // namespace tessera
