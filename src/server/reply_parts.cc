#include "server/reply_parts.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <random>

namespace tessera::server {

std::string random_id(std::string_view prefix) {
  static constexpr std::string_view kLetters =
      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  thread_local std::mt19937_64 random{[] {
    std::random_device device;
    return (uint64_t{device()} << 32) | device();
  }()};
  std::string id(prefix);
  for (int i = 0; i < 24; ++i) id += kLetters[random() % kLetters.size()];
  return id;
}

int64_t unix_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string iso_time() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:09}Z", fmt::gmtime(static_cast<std::time_t>(ns / 1'000'000'000)),
                     ns % 1'000'000'000);
}

bool is_call(const ToolCall& call) {
  return call.parsed;
}

std::string unread_calls(const Reply& reply) {
  std::string text;
  for (const auto& call : reply.tool_calls) {
    if (!is_call(call)) text += call.arguments_json;
  }
  return text;
}

int readable_calls(const Reply& reply) {
  return static_cast<int>(std::count_if(reply.tool_calls.begin(), reply.tool_calls.end(), is_call));
}

std::string warning_of(const Reply& reply) {
  if (!reply.warning.empty()) return reply.warning;
  if (reply.finish == FinishReason::kTimeLimit)
    return "the answer was cut at this server's time limit (--request-timeout)";
  if (readable_calls(reply) < static_cast<int>(reply.tool_calls.size())) {
    return "the model wrote a tool call that cannot be read; it is part of the content as it stands";
  }
  if (reply.text.empty() && reply.tool_calls.empty()) {
    return reply.thought.empty() ? "the model ended its answer at once"
                                 : "there is only a thought and no answer: max_tokens may be too small";
  }
  return {};
}

void Totals::add(const Usage& usage, int thought_token_count, bool same_prompt) {
  if (!same_prompt) {
    prompt_tokens += usage.prompt_tokens;
    cached_tokens += usage.cached_tokens;
  }
  completion_tokens += usage.completion_tokens;
  drafted_tokens += usage.drafted_tokens;
  accepted_tokens += usage.accepted_tokens;
  thought_tokens += thought_token_count;
  prefill_ms += usage.prefill_ms;
  generate_ms += usage.generate_ms;
  ++answers;
}

std::string openai_finish(const Reply& reply) {
  switch (reply.finish) {
    case FinishReason::kLength:
    case FinishReason::kContextFull:
    case FinishReason::kCancelled:
    case FinishReason::kTimeLimit:
      return "length";
    default:
      return readable_calls(reply) > 0 ? "tool_calls" : "stop";
  }
}

Json openai_usage(const Totals& t) {
  return {{"prompt_tokens", t.prompt_tokens},
          {"completion_tokens", t.completion_tokens},
          {"total_tokens", t.prompt_tokens + t.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", t.cached_tokens}}},
          {"completion_tokens_details", {{"reasoning_tokens", t.thought_tokens}}}};
}

Json timings(const Totals& t) {
  const int prompt_n = t.prompt_tokens - t.cached_tokens;
  const int steps = t.completion_tokens - t.answers;  // the first token of an answer comes from the prefill
  const auto per = [](double a, double b) { return b > 0 ? a / b : 0.0; };
  Json json = {{"cache_n", t.cached_tokens},
               {"prompt_n", prompt_n},
               {"prompt_ms", t.prefill_ms},
               {"prompt_per_token_ms", per(t.prefill_ms, prompt_n)},
               {"prompt_per_second", per(prompt_n * 1e3, t.prefill_ms)},
               {"predicted_n", t.completion_tokens},
               {"predicted_ms", t.generate_ms},
               {"predicted_per_token_ms", per(t.generate_ms, steps)},
               {"predicted_per_second", per(steps * 1e3, t.generate_ms)}};
  if (t.drafted_tokens > 0)
    json.update({{"draft_n", t.drafted_tokens}, {"draft_n_accepted", t.accepted_tokens}});
  return json;
}

Json openai_logprobs(std::span<const TokenLogprobs> tokens, bool drafts) {
  const auto entry = [](const TokenLogprob& token) {
    Json bytes = Json::array();
    for (const char c : token.bytes) bytes.push_back(static_cast<unsigned char>(c));
    return Json{{"token", token.bytes}, {"logprob", token.logprob}, {"bytes", std::move(bytes)}};
  };
  Json content = Json::array();
  for (const auto& token : tokens) {
    if (!token.in_answer) continue;
    Json item = entry(token.chosen);
    if (drafts) item["draft"] = token.drafted;
    item["top_logprobs"] = Json::array();
    for (const auto& other : token.top) item["top_logprobs"].push_back(entry(other));
    content.push_back(std::move(item));
  }
  return {{"content", std::move(content)}};
}

}  // namespace tessera::server
