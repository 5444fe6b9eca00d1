#include "server/api_error.h"

#include <fmt/format.h>

#include <new>

namespace tessera::server {
namespace {

constexpr int kRetryAfterS = 2;

}  // namespace

ApiError bad_request(const std::string& message) {
  return {400, "invalid_request_error", message};
}

ApiError not_found(const std::string& message) {
  return {404, "not_found_error", message};
}

ApiError not_supported(const std::string& message) {
  return {501, "not_supported_error", message};
}

ApiError unavailable(const std::string& message, int retry_after_s) {
  ApiError error(503, "unavailable_error", message);
  error.retry_after_s = retry_after_s;
  return error;
}

ApiError context_too_small(int64_t prompt_tokens, int64_t context_tokens) {
  ApiError error(
      400, "exceed_context_size_error",
      fmt::format("the prompt is {} tokens and the context is {}: no room for an answer; shorten the prompt "
                  "or start the server with a larger --ctx",
                  prompt_tokens, context_tokens));
  error.prompt_tokens = prompt_tokens;
  error.context_tokens = context_tokens;
  return error;
}

ApiError current_error() {
  try {
    throw;
  } catch (const ApiError& error) {
    return error;
  } catch (const Error& error) {
    switch (error.kind()) {
      case ErrorKind::kBadMedia:
      case ErrorKind::kBadRequest:
        return bad_request(error.what());
      case ErrorKind::kBusy:
        return unavailable(error.what(), kRetryAfterS);
      case ErrorKind::kTooLarge:
        return {413, "request_too_large", error.what()};
      default:
        return {500, "server_error", error.what()};
    }
  } catch (const std::bad_alloc&) {
    return unavailable("the server is out of memory", 5);
  } catch (const std::exception& error) {
    return {500, "server_error", error.what()};
  } catch (...) {
    return {500, "server_error", "unknown failure"};
  }
}

}  // namespace tessera::server
