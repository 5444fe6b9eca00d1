#pragma once
// A conversation as the chat format sees it: turns with text and media, kept by the caller of a Session.
#include <string>
#include <vector>

#include "cli/attachment.h"

namespace tessera::cli {

struct Turn {
  bool from_user = true;
  std::string text;
  std::string thought;                  // the model's turns
  std::vector<Attachment> attachments;  // the user's turns, in the order given
};

class Conversation {
 public:
  std::string system;  // "" = no system turn text
  bool think = false;
  std::vector<Turn> turns;

  /// The prompt for the next answer. Within a turn pictures and videos stand before the text and sounds after
  /// it: with a sound in front, the model answers instead of transcribing. Throws as render_chat does.
  std::string render() const;
  /// In the order of the placeholders of render().
  std::vector<Media> media() const;

  /// A JSON text with the media inside (files over 16 MB by their path). `path` is written whole. Throws
  /// Error(kIo).
  void save(const std::string& path) const;
  /// Throws Error(kIo); Error(kBadRequest) when `path` is not what save() writes; as decode_attachment does.
  static Conversation load(const std::string& path, const MediaFlags& flags);
};

}  // namespace tessera::cli
