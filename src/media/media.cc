#include "media/media.h"

#include "base/error.h"
#include "media/resize.h"
#include "media/silence.h"
#include "media/target_size.h"
#include "media/video.h"

namespace tessera {
namespace {

// 27 KiB of patch values a token: 1.7 GiB. Far above a context that would hold them.
constexpr int64_t kMaxVideoSoftTokens = 65'536;

}  // namespace

int soft_tokens(const MediaData& data) {
  int tokens = data.audio.count;
  for (const Patches& patches : data.images) tokens += patches.cols * patches.rows;
  return tokens;
}

Media Media::image(std::span<const uint8_t> file, std::string name, int soft_token_budget,
                   const MediaLimits& limits) {
  check_budget(soft_token_budget);
  auto data = std::make_shared<MediaData>();
  data->kind = MediaKind::kImage;
  data->name = std::move(name);
  const Image source = decode_image(file, data->name, limits);
  data->source_width = source.width;
  data->source_height = source.height;
  const TargetSize size = target_size(source.width, source.height, soft_token_budget);
  data->preview = resize_bicubic(source, size.width, size.height);
  data->images.push_back(to_patches(data->preview));
  return Media(std::move(data));
}

Media Media::audio(std::span<const uint8_t> file, std::string name, const MediaLimits& limits) {
  auto data = std::make_shared<MediaData>();
  data->kind = MediaKind::kAudio;
  data->name = std::move(name);
  const std::vector<float> samples = decode_audio(file, data->name, limits);
  data->duration_s = static_cast<double>(samples.size()) / kSampleHz;
  data->audio = to_frames(samples);
  return Media(std::move(data));
}

std::vector<AudioSegment> Media::audio_segments(std::span<const uint8_t> file, std::string name,
                                                double segment_s, const MediaLimits& limits) {
  if (!(segment_s >= 1 && segment_s <= 600)) {
    throw_error(ErrorKind::kBadRequest, "segments of {} s, expected 1 to 600", segment_s);
  }
  const std::vector<float> samples = decode_audio(file, name, limits);
  std::vector<AudioSegment> segments;
  for (const auto& [begin, end] : cut_at_silences(samples, static_cast<size_t>(segment_s * kSampleHz))) {
    auto data = std::make_shared<MediaData>();
    data->kind = MediaKind::kAudio;
    data->name = name;
    data->duration_s = static_cast<double>(end - begin) / kSampleHz;
    data->audio = to_frames(std::span(samples).subspan(begin, end - begin));
    segments.push_back({Media(std::move(data)), static_cast<double>(begin) / kSampleHz,
                        static_cast<double>(end) / kSampleHz});
  }
  return segments;
}

Media Media::video(std::span<const uint8_t> file, std::string name, const VideoOptions& options,
                   const MediaLimits& limits) {
  check_budget(options.soft_token_budget);
  auto data = std::make_shared<MediaData>();
  data->kind = MediaKind::kVideo;
  data->name = std::move(name);
  TargetSize size;
  // Resized as they come: 32 frames of 4K would be 800 MB, their patches are 60 MB.
  const TakeFrame take = [&](size_t k, Image&& frame) {
    if (k == 0) {
      data->images.clear();
      size = target_size(frame.width, frame.height, options.soft_token_budget);
    }
    if (static_cast<int64_t>(k + 1) * size.soft_tokens() > kMaxVideoSoftTokens) {
      throw_error(ErrorKind::kTooLarge,
                  "{}: more than {} frames of {} soft tokens, the limit is {} soft tokens; ask "
                  "for fewer frames or a smaller budget",
                  data->name, k, size.soft_tokens(), kMaxVideoSoftTokens);
    }
    Image seen = resize_bicubic(frame, size.width, size.height);
    data->images.push_back(to_patches(seen));
    if (k == 0) data->preview = std::move(seen);
  };
  VideoFrames video = decode_video(file, data->name, options, limits, take);
  data->timestamp_s = std::move(video.timestamp_s);
  data->source_width = video.width;
  data->source_height = video.height;
  data->source_frames = video.source_frames;
  data->source_fps = video.source_fps;
  data->duration_s = video.source_frames / video.source_fps;
  TS_CHECK(data->images.size() == data->timestamp_s.size(), "{} frames, {} time stamps", data->images.size(),
           data->timestamp_s.size());
  return Media(std::move(data));
}

MediaKind Media::kind() const {
  return data_->kind;
}

int Media::soft_tokens() const {
  return tessera::soft_tokens(*data_);
}

std::vector<uint8_t> Media::preview_png(bool grid) const {
  if (data_->kind == MediaKind::kAudio) return {};
  return encode_png(grid ? draw_patch_grid(data_->preview) : data_->preview);
}

std::string Media::describe() const {
  const MediaData& d = *data_;
  if (d.kind == MediaKind::kAudio) {
    return fmt::format("{:.2f} s, {} frames of 40 ms, {} soft tokens", d.duration_s, d.audio.count,
                       soft_tokens());
  }
  const Patches& grid = d.images.front();
  const std::string picture = fmt::format("{}x{} -> {}x{}, {}x{} patches", d.source_width, d.source_height,
                                          d.preview.width, d.preview.height, grid.cols, grid.rows);
  if (d.kind == MediaKind::kImage) return fmt::format("{}, {} soft tokens", picture, soft_tokens());
  return fmt::format("{}, {} of {} frames at {:.4g} frames/s, {} x {} = {} soft tokens", picture,
                     d.images.size(), d.source_frames, d.source_fps, d.images.size(), grid.cols * grid.rows,
                     soft_tokens());
}

}  // namespace tessera
