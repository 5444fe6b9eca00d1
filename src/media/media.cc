#include "media/media.h"

#include "base/error.h"
#include "media/decoded.h"
#include "media/silence.h"
#include "media/target_size.h"

namespace tessera {

int soft_tokens(const MediaData& data) {
  int tokens = data.audio.count;
  for (const Patches& patches : data.images) tokens += patches.cols * patches.rows;
  return tokens;
}

Media Media::image(std::span<const uint8_t> file, std::string name, int soft_token_budget,
                   const MediaLimits& limits) {
  check_budget(soft_token_budget);
  Decoded decoded = decode(file, {MediaKind::kImage, name, soft_token_budget, {}, limits});
  auto data = std::make_shared<MediaData>();
  data->kind = MediaKind::kImage;
  data->name = std::move(name);
  data->source_width = decoded.source_width;
  data->source_height = decoded.source_height;
  data->preview = std::move(decoded.images.at(0));
  data->images.push_back(to_patches(data->preview));
  return Media(std::move(data));
}

Media Media::audio(std::span<const uint8_t> file, std::string name, const MediaLimits& limits) {
  const Decoded decoded = decode(file, {MediaKind::kAudio, name, 0, {}, limits});
  auto data = std::make_shared<MediaData>();
  data->kind = MediaKind::kAudio;
  data->name = std::move(name);
  data->duration_s = static_cast<double>(decoded.samples.size()) / kSampleHz;
  data->audio = to_frames(decoded.samples);
  return Media(std::move(data));
}

std::vector<AudioSegment> Media::audio_segments(std::span<const uint8_t> file, std::string name,
                                                double segment_s, const MediaLimits& limits) {
  if (!(segment_s >= 1 && segment_s <= 600)) {
    throw_error(ErrorKind::kBadRequest, "segments of {} s, expected 1 to 600", segment_s);
  }
  const std::vector<float> samples = decode(file, {MediaKind::kAudio, name, 0, {}, limits}).samples;
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
  Decoded decoded = decode(file, {MediaKind::kVideo, name, 0, options, limits});
  auto data = std::make_shared<MediaData>();
  data->kind = MediaKind::kVideo;
  data->name = std::move(name);
  for (Image& frame : decoded.images) {
    data->images.push_back(to_patches(frame));
    if (data->images.size() == 1)
      data->preview = std::move(frame);
    else
      frame = {};
  }
  data->timestamp_s = std::move(decoded.timestamp_s);
  data->source_width = decoded.source_width;
  data->source_height = decoded.source_height;
  data->source_frames = decoded.source_frames;
  data->source_fps = decoded.source_fps;
  data->duration_s = decoded.source_frames / decoded.source_fps;
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
