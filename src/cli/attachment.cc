#include "cli/attachment.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "base/error.h"
#include "base/file_map.h"
#include "cli/terminal.h"

namespace tessera::cli {
namespace {

// 30 s at 40 ms a token: the longest sound of the training data. docs/spec/multimodal.md §10.
constexpr int kTrainedAudioTokens = 750;

struct Ending {
  const char* text;
  MediaKind kind;
};
constexpr Ending kEndings[] = {
    {".png", MediaKind::kImage},  {".jpg", MediaKind::kImage},  {".jpeg", MediaKind::kImage},
    {".webp", MediaKind::kImage}, {".gif", MediaKind::kImage},  {".bmp", MediaKind::kImage},
    {".tif", MediaKind::kImage},  {".tiff", MediaKind::kImage}, {".wav", MediaKind::kAudio},
    {".mp3", MediaKind::kAudio},  {".flac", MediaKind::kAudio}, {".ogg", MediaKind::kAudio},
    {".opus", MediaKind::kAudio}, {".m4a", MediaKind::kAudio},  {".mp4", MediaKind::kVideo},
    {".webm", MediaKind::kVideo}, {".mov", MediaKind::kVideo},  {".mkv", MediaKind::kVideo},
};

}  // namespace

std::optional<MediaKind> media_kind_of(const std::string& path) {
  std::string ending = std::filesystem::path(path).extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  for (const auto& known : kEndings) {
    if (ending == known.text) return known.kind;
  }
  return std::nullopt;
}

const char* media_kind_name(MediaKind kind) {
  switch (kind) {
    case MediaKind::kImage:
      return "image";
    case MediaKind::kAudio:
      return "audio";
    case MediaKind::kVideo:
      break;
  }
  return "video";
}

Attachment decode_attachment(const std::string& name, MediaKind kind,
                             const std::shared_ptr<const std::vector<uint8_t>>& file,
                             const MediaFlags& flags) {
  switch (kind) {
    case MediaKind::kImage:
      return {name, file, flags.image_budget, Media::image(*file, name, flags.image_budget)};
    case MediaKind::kVideo:
      return {name, file, flags.video.soft_token_budget, Media::video(*file, name, flags.video)};
    case MediaKind::kAudio:
      break;
  }
  Attachment sound{name, file, 0, Media::audio(*file, name)};
  if (sound.media.soft_tokens() > kTrainedAudioTokens) {
    write_err(dim(fmt::format("note: {} is {} s long; the model is trained on sounds up to 30 s\n", name,
                              sound.media.soft_tokens() / 25)));
  }
  return sound;
}

std::vector<Attachment> open_attachments(const std::string& path, MediaKind kind, const MediaFlags& flags) {
  auto file =
      std::make_shared<const std::vector<uint8_t>>(read_binary_file(path, MediaLimits().max_file_bytes));
  std::vector<Attachment> attachments;
  attachments.push_back(decode_attachment(path, kind, file, flags));
  if (kind == MediaKind::kVideo && flags.video_sound) {
    attachments.push_back(decode_attachment(path, MediaKind::kAudio, file, flags));
  }
  return attachments;
}

}  // namespace tessera::cli
