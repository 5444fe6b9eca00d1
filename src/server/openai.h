#pragma once
// What the OpenAI-shaped APIs share with each other.
#include <memory>

#include "server/api.h"
#include "server/reply_parts.h"

namespace tessera::server {

/// Sampling, model, stream, stream_options, n.
void read_openai_common(const Fields& fields, const ApiContext& context, GenerateRequest& request);
Json openai_error_json(const ApiError& error);
std::unique_ptr<ReplyWriter> make_openai_chat_writer(const WriterParts& parts);

/// Server-sent events: one `data:` line.
inline std::string sse(const Json& json) {
  return "data: " + dump(json) + "\n\n";
}

inline constexpr const char* kEventStream = "text/event-stream; charset=utf-8";
inline constexpr const char* kSseComment = ": keep-alive\n\n";

}  // namespace tessera::server
