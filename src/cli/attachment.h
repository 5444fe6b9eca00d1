#pragma once
// Media files named on the command line or in a chat.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/options.h"
#include "tessera/tessera.h"

namespace tessera::cli {

/// A decoded file and the bytes it came from, which a saved conversation keeps.
struct Attachment {
  std::string name;                                  // the path as given
  std::shared_ptr<const std::vector<uint8_t>> file;  // as read; shared by a video and its sound
  int soft_token_budget = 0;                         // images and videos
  Media media;
};

/// By the name's ending, for example ".jpg"; nothing when it is none that Tessera reads.
std::optional<MediaKind> media_kind_of(const std::string& path);

/// "image", "audio" or "video": also the name of the content part in the chat format.
const char* media_kind_name(MediaKind kind);

/// Reads and decodes `path`; a video with flags.video_sound gives two: frames and sound. Notes on stderr what
/// the model was not trained for (sound over 30 s). Throws Error(kIo, kBadMedia, kTooLarge).
std::vector<Attachment> open_attachments(const std::string& path, MediaKind kind, const MediaFlags& flags);

/// The same from bytes at hand. Throws Error(kBadMedia, kTooLarge).
Attachment decode_attachment(const std::string& name, MediaKind kind,
                             const std::shared_ptr<const std::vector<uint8_t>>& file,
                             const MediaFlags& flags);

}  // namespace tessera::cli
