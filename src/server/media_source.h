#pragma once
// From what a request names to decoded media: data: URIs and Base64 always, addresses and files where
// allowed.
#include <string>
#include <vector>

#include "server/request.h"
#include "tessera/tessera.h"

namespace tessera::server {

/// True for addresses that are not of the public internet: loopback, private, link-local, shared, multicast,
/// documentation, and IPv6 forms that carry such an IPv4 address. `address`: network order, 4 or 16 bytes.
bool is_internal_address(const uint8_t* address, size_t bytes);

struct MediaPolicy {
  bool fetch_urls = false;     // http(s): addresses, public ones only
  bool fetch_private = false;  // … and those of this machine and its networks
  bool (*is_private)(const uint8_t* address, size_t bytes) = is_internal_address;
  std::string file_dir;                   // file: addresses below this folder; "": none
  int64_t max_bytes = int64_t{64} << 20;  // of one file, fetched or sent
  int fetch_timeout_ms = 20'000;
  int max_parts = 64;  // of one request
  MediaLimits limits;
};

/// Decodes all of a request's media. Throws ApiError and Error naming the part.
std::vector<Media> load_media(const std::vector<MediaInput>& inputs, const MediaPolicy& policy,
                              const ModelInfo& info);

/// The bytes of one part.
std::vector<uint8_t> media_bytes(const MediaInput& input, const MediaPolicy& policy);

/// Of an http(s) address. Every address that a name resolves to is checked when it is connected to, so that a
/// name cannot change between the check and the use, and a redirect cannot lead inside. Throws ApiError(400).
std::vector<uint8_t> fetch_url(const std::string& url, const MediaPolicy& policy);

}  // namespace tessera::server
