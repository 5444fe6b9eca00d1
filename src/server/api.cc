#include "server/api.h"

#include <array>

#include "server/openai.h"

namespace tessera::server {

std::span<const Api* const> generating_apis() {
  static const std::array<const Api*, 6> all = {&kOpenAiChat,        &kOpenAiCompletions, &kOpenAiResponses,
                                                &kAnthropicMessages, &kOllamaChat,        &kOllamaGenerate};
  return all;
}

HttpAnswer anthropic_error(const ApiError& error) {
  std::string type = error.type;
  if (type == "server_error") type = "api_error";
  if (type == "unavailable_error") type = "overloaded_error";
  if (type == "exceed_context_size_error" || type == "not_supported_error") type = "invalid_request_error";
  HttpAnswer answer{error.status, "application/json",
                    dump({{"type", "error"}, {"error", {{"type", type}, {"message", error.what()}}}})};
  if (error.retry_after_s > 0)
    answer.headers.emplace_back("Retry-After", std::to_string(error.retry_after_s));
  return answer;
}

HttpAnswer ollama_error(const ApiError& error) {
  HttpAnswer answer{error.status, "application/json; charset=utf-8", dump({{"error", error.what()}})};
  if (error.retry_after_s > 0)
    answer.headers.emplace_back("Retry-After", std::to_string(error.retry_after_s));
  return answer;
}

HttpAnswer error_for_path(std::string_view path, const ApiError& error) {
  if (path.starts_with("/api/")) return ollama_error(error);
  if (path.starts_with("/v1/messages")) return anthropic_error(error);
  return openai_error(error);
}

}  // namespace tessera::server
