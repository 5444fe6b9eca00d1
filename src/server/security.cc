#include "server/security.h"

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "base/file_map.h"
#include "server/api.h"
#include "server/page.h"

namespace tessera::server {
namespace {

constexpr int64_t kMaxKeyFileBytes = 1 << 20;

bool contains(const std::vector<std::string>& list, std::string_view value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

std::string_view without_port(std::string_view host) {
  if (host.starts_with('[')) return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.rfind(':'));
}

bool is_address(std::string_view host) {
  return host.starts_with('[') ||
         (!host.empty() && host.find_first_not_of("0123456789.") == std::string_view::npos);
}

bool open_to_all(std::string_view path) {
  // The page has to load before it can ask for the key.
  return path == "/health" || path == "/" || find_page_file(path) != nullptr;
}

bool valid_key(const AccessPolicy& policy, const HttpRequest& request) {
  std::string_view key = request.header("authorization");
  if (key.size() > 7 && (key.starts_with("Bearer ") || key.starts_with("bearer "))) {
    key.remove_prefix(7);
  } else {
    key = request.header("x-api-key");  // Anthropic's
  }
  bool valid = false;
  for (const auto& known : policy.api_keys) valid |= equal_in_constant_time(key, known);
  return valid;
}

bool origin_allowed(const AccessPolicy& policy, const HttpRequest& request, std::string_view origin) {
  if (contains(policy.origins, "*") || contains(policy.origins, origin)) return true;
  const size_t scheme = origin.find("://");
  return scheme != std::string_view::npos &&
         origin.substr(scheme + 3) == request.header("host");  // its own pages
}

}  // namespace

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (size_t i = 0; i < a.size(); ++i) {
    difference |=
        static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b.empty() ? '\0' : b[i % b.size()]);
  }
  return difference == 0;
}

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

Headers cors_headers(const AccessPolicy& policy, const HttpRequest& request) {
  const std::string_view origin = request.header("origin");
  if (origin.empty() || policy.origins.empty() || !origin_allowed(policy, request, origin)) return {};
  return {{"Access-Control-Allow-Origin", contains(policy.origins, "*") ? "*" : std::string(origin)},
          {"Vary", "Origin"},
          {"Access-Control-Expose-Headers", "X-Request-Id"}};
}

std::optional<HttpAnswer> check_access(const AccessPolicy& policy, const HttpRequest& request) {
  const std::string_view origin = request.header("origin");
  if (!origin.empty() && !origin_allowed(policy, request, origin)) {
    return error_for_path(request.path,
                          ApiError(403, "permission_error",
                                   "requests from web pages of this origin are not allowed (--cors-origin)"));
  }
  if (policy.loopback && policy.api_keys.empty()) {
    const std::string_view host = without_port(request.header("host"));
    if (!host.empty() && !is_address(host) && host != "localhost" && !host.ends_with(".localhost") &&
        !contains(policy.hosts, host)) {
      return error_for_path(
          request.path,
          ApiError(403, "permission_error", "this server does not go by that host name (--allowed-host)"));
    }
  }
  if (request.method == "OPTIONS" && !request.header("access-control-request-method").empty()) {
    std::string headers(request.header("access-control-request-headers"));
    if (headers.empty()) headers = "Authorization, Content-Type";
    return HttpAnswer{204,
                      "",
                      "",
                      {{"Access-Control-Allow-Methods", "GET, POST, OPTIONS"},
                       {"Access-Control-Allow-Headers", headers},
                       {"Access-Control-Max-Age", "600"}}};
  }
  if (!policy.api_keys.empty() && !open_to_all(request.path) && !valid_key(policy, request)) {
    return error_for_path(request.path,
                          ApiError(401, "authentication_error", "the API key is missing or wrong"));
  }
  return std::nullopt;
}

std::vector<std::string> read_key_file(const std::string& path) {
  const std::string text = read_text_file(path, kMaxKeyFileBytes);
  std::vector<std::string> keys;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    at = end + 1;
    std::erase_if(line, [](unsigned char c) { return std::isspace(c); });
    if (!line.empty() && line[0] != '#') keys.push_back(std::move(line));
  }
  if (keys.empty()) throw_error(ErrorKind::kBadRequest, "{}: no API key in it, one a line is expected", path);
  return keys;
}

}  // namespace tessera::server
