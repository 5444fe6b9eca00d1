// Media by address, through libcurl: the one place where the server connects to anything.
#include <arpa/inet.h>
#include <curl/curl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <mutex>

#include "server/api_error.h"
#include "server/media_source.h"

namespace tessera::server {
namespace {

constexpr long kMaxRedirects = 3;
constexpr long kConnectTimeoutMs = 5000;

struct Transfer {
  const MediaPolicy& policy;
  std::vector<uint8_t> bytes;
  std::string refused;  // why we, not the other side, ended it
};

size_t take(char* data, size_t, size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  if (static_cast<int64_t>(transfer.bytes.size() + size) > transfer.policy.max_bytes) {
    transfer.refused = fmt::format("it is larger than the limit of {} bytes", transfer.policy.max_bytes);
    return 0;
  }
  transfer.bytes.insert(transfer.bytes.end(), data, data + size);
  return size;
}

// Sees the very address that the socket will be connected to, for redirects, too.
curl_socket_t open_socket(void* user, curlsocktype, curl_sockaddr* address) {
  auto& transfer = *static_cast<Transfer*>(user);
  const uint8_t* bytes = nullptr;
  size_t count = 0;
  if (address->family == AF_INET) {
    bytes = reinterpret_cast<const uint8_t*>(&reinterpret_cast<sockaddr_in*>(&address->addr)->sin_addr);
    count = 4;
  } else if (address->family == AF_INET6) {
    bytes = reinterpret_cast<const uint8_t*>(&reinterpret_cast<sockaddr_in6*>(&address->addr)->sin6_addr);
    count = 16;
  }
  if (!transfer.policy.fetch_private && (bytes == nullptr || transfer.policy.is_private(bytes, count))) {
    transfer.refused = "the address leads to this machine or a private network";
    return CURL_SOCKET_BAD;
  }
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

}  // namespace

std::vector<uint8_t> fetch_url(const std::string& url, const MediaPolicy& policy) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  Transfer transfer{policy, {}, {}};
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(), curl_easy_cleanup);
  if (!curl) throw unavailable("cannot start a transfer", 1);
  CURL* c = curl.get();
  char why[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(c, CURLOPT_URL, url.c_str());
  curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(c, CURLOPT_MAXREDIRS, kMaxRedirects);
  curl_easy_setopt(c, CURLOPT_PROXY, "");  // a proxy would connect for us, unchecked
  curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
  curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, static_cast<long>(policy.fetch_timeout_ms));
  curl_easy_setopt(c, CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(policy.max_bytes));
  curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L);
  curl_easy_setopt(c, CURLOPT_USERAGENT, "tessera");
  curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
  curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take);
  curl_easy_setopt(c, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, open_socket);
  curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, &transfer);
  const CURLcode code = curl_easy_perform(c);
  if (code == CURLE_OK) return std::move(transfer.bytes);
  throw bad_request("cannot fetch the address: " + (!transfer.refused.empty() ? transfer.refused
                                                    : why[0] != '\0'          ? std::string(why)
                                                                              : curl_easy_strerror(code)));
}

}  // namespace tessera::server
