#pragma once
// What a request ends in when it cannot be carried out; each API has its own shape for it (api.h).
#include <cstdint>
#include <stdexcept>
#include <string>

#include "tessera/tessera.h"

namespace tessera::server {

struct ApiError : std::runtime_error {
  ApiError(int http_status, std::string error_type, const std::string& message)
      : std::runtime_error(message), status(http_status), type(std::move(error_type)) {}

  int status;
  std::string type;       // "invalid_request_error" …, OpenAI's and Anthropic's words
  int retry_after_s = 0;  // > 0: a Retry-After header
  int64_t prompt_tokens = 0, context_tokens = 0;  // of exceed_context_size_error
};

ApiError bad_request(const std::string& message);
ApiError not_found(const std::string& message);
ApiError not_supported(const std::string& message);
ApiError unavailable(const std::string& message, int retry_after_s);
ApiError context_too_small(int64_t prompt_tokens, int64_t context_tokens);
/// Of anything that was thrown while a request was carried out. Call inside a catch block.
ApiError current_error();

}  // namespace tessera::server
