#pragma once
// Who may ask: keys, origins, host names. Pure; any thread.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/http.h"

namespace tessera::server {

struct AccessPolicy {
  std::vector<std::string> api_keys;  // none: everyone may ask
  std::vector<std::string> origins;   // that web pages may ask from; "*": any
  std::vector<std::string> hosts;     // names that this server goes by, beside its addresses
  bool loopback = true;               // bound to this machine only
};

/// An answer when the request is refused: 401 without a valid key, 403 for a web page of a foreign origin,
/// or, on a loopback server without keys, for a host name that is not this machine's (a page whose name was
/// pointed here). CORS preflights are answered with 204.
std::optional<HttpAnswer> check_access(const AccessPolicy& policy, const HttpRequest& request);
Headers cors_headers(const AccessPolicy& policy, const HttpRequest& request);

/// Takes as long for a wrong key as for a right one of the same length.
bool equal_in_constant_time(std::string_view a, std::string_view b);
bool is_loopback(const std::string& host);
/// The lines of a key file, without blanks, empty lines and # comments. Throws Error(kIo), Error(kBadRequest)
/// for none.
std::vector<std::string> read_key_file(const std::string& path);

}  // namespace tessera::server
