#pragma once
// What was said, and when: the answers of /v1/audio/*.
#include <string>
#include <string_view>
#include <vector>

#include "server/json.h"

namespace tessera::server {

struct TranscriptSegment {
  double begin_s = 0, end_s = 0;
  std::string text;
};

struct Transcript {
  std::string task, language;  // "transcribe" or "translate"; as the client named it
  double duration_s = 0;
  std::vector<TranscriptSegment> segments;
  int prompt_tokens = 0, completion_tokens = 0;

  std::string text() const;  // of all segments
};

/// The published prompts (docs/spec/tokenizer.md §6). `language`: an ISO code or a name; "": the recording's
/// own. `hint`: the request's "prompt", words to expect.
std::string transcription_prompt(const std::string& language, const std::string& hint);
std::string translation_prompt(const std::string& language, const std::string& hint);
/// The part of a translation's answer after "English:"; all of it when that is missing.
std::string translation_part(std::string_view answer);
/// "de" -> "German"; other words as they are. Throws ApiError(400) for what cannot be a language's name.
std::string language_name(const std::string& code);

/// `format`: "json", "text", "verbose_json", "srt" or "vtt". The content type comes first.
std::pair<std::string, std::string> format_transcript(const Transcript& transcript,
                                                      const std::string& format);

}  // namespace tessera::server
