#pragma once
// Pieces that the answers of several APIs share.
#include <string>
#include <string_view>

#include "server/json.h"
#include "tessera/tessera.h"

namespace tessera::server {

/// `prefix` and 24 random letters and digits.
std::string random_id(std::string_view prefix);
int64_t unix_seconds();
/// "2026-11-22T20:00:00.123456789Z"
std::string iso_time();

/// Calls that could be read; the others are text, see unread_calls.
bool is_call(const ToolCall& call);
/// The raw text of calls that could not be read: they are part of the answer's text, so that nothing is lost.
std::string unread_calls(const Reply& reply);
/// "" or what is odd about the reply, for a `warning` field.
std::string warning_of(const Reply& reply);
int readable_calls(const Reply& reply);

/// Sums over the answers of one request.
struct Totals {
  int prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0, thought_tokens = 0;
  int drafted_tokens = 0, accepted_tokens = 0;
  double prefill_ms = 0, generate_ms = 0;
  int answers = 0;
  /// `same_prompt`: an answer to a prompt that is counted already.
  void add(const Usage& usage, int thought_token_count, bool same_prompt);
};

/// "stop", "length", "tool_calls"
std::string openai_finish(const Reply& reply);
Json openai_usage(const Totals& totals);
/// llama.cpp's
Json timings(const Totals& totals);
/// {"content": […]}, of tokens of the answer's text. `drafts`: "draft" says of each whether the drafter had
/// it.
Json openai_logprobs(std::span<const TokenLogprobs> tokens, bool drafts);

}  // namespace tessera::server
