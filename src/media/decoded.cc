#include "media/decoded.h"

#include "base/error.h"
#include "media/audio.h"
#include "media/media_process.h"
#include "media/resize.h"
#include "media/target_size.h"
#include "media/video.h"

namespace tessera {
namespace {

Decoded decode_one_image(Bytes file, const DecodeJob& job) {
  Decoded decoded;
  const Image source = decode_image(file, job.name, job.limits);
  decoded.source_width = source.width;
  decoded.source_height = source.height;
  const TargetSize size = target_size(source.width, source.height, job.soft_token_budget);
  decoded.images.push_back(resize_bicubic(source, size.width, size.height));
  return decoded;
}

Decoded decode_frames(Bytes file, const DecodeJob& job) {
  Decoded decoded;
  TargetSize size;
  // Resized as they come: 32 frames of 4K would be 800 MB.
  const TakeFrame take = [&](size_t k, Image&& frame) {
    if (k == 0) {
      decoded.images.clear();
      size = target_size(frame.width, frame.height, job.video.soft_token_budget);
    }
    if (static_cast<int64_t>(k + 1) * size.soft_tokens() > kMaxVideoSoftTokens) {
      throw_error(ErrorKind::kTooLarge,
                  "{}: more than {} frames of {} soft tokens, the limit is {} soft tokens; ask "
                  "for fewer frames or a smaller budget",
                  job.name, k, size.soft_tokens(), kMaxVideoSoftTokens);
    }
    decoded.images.push_back(resize_bicubic(frame, size.width, size.height));
  };
  VideoFrames video = decode_video(file, job.name, job.video, job.limits, take);
  decoded.timestamp_s = std::move(video.timestamp_s);
  decoded.source_width = video.width;
  decoded.source_height = video.height;
  decoded.source_frames = video.source_frames;
  decoded.source_fps = video.source_fps;
  TS_CHECK(decoded.images.size() == decoded.timestamp_s.size(), "{} frames, {} time stamps",
           decoded.images.size(), decoded.timestamp_s.size());
  return decoded;
}

}  // namespace

Decoded decode_here(Bytes file, const DecodeJob& job) {
  switch (job.kind) {
    case MediaKind::kImage:
      return decode_one_image(file, job);
    case MediaKind::kVideo:
      return decode_frames(file, job);
    case MediaKind::kAudio:
      break;
  }
  Decoded decoded;
  decoded.samples = decode_audio(file, job.name, job.limits);
  return decoded;
}

Decoded decode(Bytes file, const DecodeJob& job) {
  return job.limits.process ? job.limits.process->impl().decode(file, job) : decode_here(file, job);
}

}  // namespace tessera
