#pragma once
// The Gemma 4 chat format: a conversation → the prompt text. Written from the description of the published
// template of 2026-07-09 (docs/spec/tokenizer.md §4); the goldens in tests/fixtures/chat are renders of that
// template.
#include <string>
#include <string_view>

#include "text/json_tree.h"

namespace tessera {

/// `request`: as for tessera::render_chat(std::string_view), already parsed, nested at most as JsonLimits
/// allows. Beyond the template: content parts may be called input_image, audio_url, video_url, input_video,
/// too; a tool result that is an object keeps its fields (the template loses them); a prompt that would end
/// in a closed turn gets the header of a new one; the last message can be left open. Throws Error(kBadRequest) with the place
/// ("messages[2].content") for what the template refuses (arguments that are a string), for unknown roles and
/// part types and for values of the wrong type.
std::string render_request(const Json& request);

/// For requests in OpenAI's wire format, before render_request: every tool_calls[].function.arguments that is
/// a string becomes the JSON object it holds. Throws Error(kBadRequest) when it holds something else.
void parse_argument_strings(Json& request);

/// True when a rendered prompt has opened the thought channel: the reply begins inside it (ReplyParser).
bool opens_thought(std::string_view prompt);

}  // namespace tessera
