#include "cli/conversation.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "base/error.h"
#include "base/file_map.h"

namespace tessera::cli {
namespace {

using nlohmann::json;

constexpr int kSavedVersion = 1;
constexpr int64_t kMaxSavedBytes = int64_t{1} << 30;
constexpr size_t kMaxInlineBytes = size_t{16} << 20;

bool follows_text(const Attachment& attachment) {
  return attachment.media.kind() == MediaKind::kAudio;
}

/// Calls visit(attachment) for what stands before the text, then text(), then visit for what follows it.
template <typename Visit, typename Text>
void in_order(const Turn& turn, const Visit& visit, const Text& text) {
  for (const auto& a : turn.attachments) {
    if (!follows_text(a)) visit(a);
  }
  text();
  for (const auto& a : turn.attachments) {
    if (follows_text(a)) visit(a);
  }
}

json saved_attachment(const Attachment& a) {
  json part = {{"type", media_kind_name(a.media.kind())}, {"name", a.name}};
  if (a.soft_token_budget != 0) part["budget"] = a.soft_token_budget;
  if (a.file->size() <= kMaxInlineBytes) {
    part["data"] = base64_encode(*a.file);
  } else {
    part["path"] = std::filesystem::absolute(a.name).string();
  }
  return part;
}

Attachment loaded_attachment(const json& part, MediaFlags flags) {
  const auto type = part.at("type").get<std::string>();
  const auto name = part.at("name").get<std::string>();
  MediaKind kind = MediaKind::kVideo;
  if (type == "image") kind = MediaKind::kImage;
  if (type == "audio") kind = MediaKind::kAudio;
  flags.image_budget = part.value("budget", flags.image_budget);
  flags.video.soft_token_budget = part.value("budget", flags.video.soft_token_budget);
  auto bytes = part.contains("data")
                   ? base64_decode(part.at("data").get<std::string>())
                   : read_binary_file(part.at("path").get<std::string>(), MediaLimits().max_file_bytes);
  return decode_attachment(name, kind, std::make_shared<const std::vector<uint8_t>>(std::move(bytes)), flags);
}

}  // namespace

std::string Conversation::render() const {
  json messages = json::array();
  if (!system.empty()) messages.push_back({{"role", "system"}, {"content", system}});
  for (const auto& turn : turns) {
    if (!turn.from_user) {
      messages.push_back({{"role", "assistant"}, {"content", turn.text}, {"reasoning", turn.thought}});
      continue;
    }
    json parts = json::array();
    in_order(
        turn,
        [&](const Attachment& a) {
          parts.push_back({{"type", media_kind_name(a.media.kind())}});
        },
        [&] {
          if (!turn.text.empty()) parts.push_back({{"type", "text"}, {"text", turn.text}});
        });
    messages.push_back({{"role", "user"}, {"content", std::move(parts)}});
  }
  // Bytes that are not UTF-8 become U+FFFD: they come from a terminal or a file and have no meaning in a
  // chat.
  return render_chat(json{{"messages", std::move(messages)}, {"enable_thinking", think}}.dump(
      -1, ' ', false, json::error_handler_t::replace));
}

std::vector<Media> Conversation::media() const {
  std::vector<Media> media;
  for (const auto& turn : turns) {
    in_order(
        turn, [&](const Attachment& a) { media.push_back(a.media); }, [] {});
  }
  return media;
}

void Conversation::save(const std::string& path) const {
  json saved_turns = json::array();
  for (const auto& turn : turns) {
    json saved = {{"role", turn.from_user ? "user" : "assistant"}, {"text", turn.text}};
    if (!turn.thought.empty()) saved["thought"] = turn.thought;
    for (const auto& a : turn.attachments) saved["media"].push_back(saved_attachment(a));
    saved_turns.push_back(std::move(saved));
  }
  const json whole = {{"tessera_chat", kSavedVersion},
                      {"system", system},
                      {"think", think},
                      {"turns", std::move(saved_turns)}};
  const std::string text = whole.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
  write_file(path, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

Conversation Conversation::load(const std::string& path, const MediaFlags& flags) {
  const std::string text = read_text_file(path, kMaxSavedBytes);
  try {
    const json whole = json::parse(text);
    const int version = whole.at("tessera_chat").get<int>();
    if (version != kSavedVersion) {
      throw_error(ErrorKind::kBadRequest,
                  "{}: saved by another version: tessera_chat is {}, this one reads {}", path, version,
                  kSavedVersion);
    }
    Conversation conversation;
    conversation.system = whole.value("system", "");
    conversation.think = whole.value("think", false);
    for (const auto& saved : whole.at("turns")) {
      Turn turn;
      turn.from_user = saved.at("role").get<std::string>() == "user";
      turn.text = saved.at("text").get<std::string>();
      turn.thought = saved.value("thought", "");
      for (const auto& part : saved.value("media", json::array())) {
        turn.attachments.push_back(loaded_attachment(part, flags));
      }
      conversation.turns.push_back(std::move(turn));
    }
    return conversation;
  } catch (const json::exception& error) {
    throw_error(ErrorKind::kBadRequest, "{}: not a conversation saved by /save: {}", path, error.what());
  }
}

}  // namespace tessera::cli
