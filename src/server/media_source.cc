#include "server/media_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/base64.h"
#include "server/api_error.h"
#include "server/http.h"

namespace tessera::server {
namespace {

struct Fd {
  int fd;
  ~Fd() {
    if (fd >= 0) ::close(fd);
  }
};

[[noreturn]] void refuse(const MediaInput& input, const std::string& why) {
  throw bad_request(input.place + ": " + why);
}

std::vector<uint8_t> decode(const MediaInput& input, std::string_view base64, const MediaPolicy& policy) {
  if (static_cast<int64_t>(base64.size()) / 4 * 3 > policy.max_bytes) {
    refuse(input, fmt::format("{} bytes of Base64 are more than the limit of {} bytes of media",
                              base64.size(), policy.max_bytes));
  }
  try {
    return base64_decode(base64);
  } catch (const Error& error) {
    refuse(input, error.what());
  }
}

// data:[type][;parameters][;base64],…
std::vector<uint8_t> data_uri(const MediaInput& input, std::string_view uri, const MediaPolicy& policy) {
  const size_t comma = uri.substr(0, 512).find(',');
  if (comma == std::string_view::npos) refuse(input, "the data: URI has no comma in its first 512 bytes");
  const std::string_view head = uri.substr(0, comma), body = uri.substr(comma + 1);
  // Base64 in a URI may be percent-encoded: its + / = are reserved there.
  if (head.ends_with(";base64")) {
    return body.find('%') == std::string_view::npos ? decode(input, body, policy)
                                                    : decode(input, percent_decode(body), policy);
  }
  const std::string text = percent_decode(body);
  return {text.begin(), text.end()};
}

std::vector<uint8_t> read_file_below(const MediaInput& input, const MediaPolicy& policy) {
  if (policy.file_dir.empty()) {
    refuse(input,
           "file: addresses are not allowed here; send the bytes as a data: URI (server option --media-dir)");
  }
  std::string path = percent_decode(std::string_view(input.source).substr(7));
  if (path.find('\0') != std::string::npos) refuse(input, "the path has a zero byte");
  std::string folder = policy.file_dir;
  while (folder.size() > 1 && folder.ends_with('/')) folder.pop_back();
  if (path.starts_with(folder + "/")) path.erase(0, folder.size());
  while (path.starts_with('/')) path.erase(0, 1);
  const Fd root{::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
  if (root.fd < 0)
    refuse(input, fmt::format("the folder of --media-dir cannot be opened: {}", std::strerror(errno)));
  // The kernel resolves the path and keeps it below the folder, symbolic links included.
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  const Fd file{static_cast<int>(::syscall(SYS_openat2, root.fd, path.c_str(), &how, sizeof how))};
  struct stat status {};
  if (file.fd < 0 || ::fstat(file.fd, &status) != 0)
    refuse(input, fmt::format("no such file below --media-dir: {}", std::strerror(errno)));
  if (!S_ISREG(status.st_mode)) refuse(input, "not a regular file");
  if (status.st_size > policy.max_bytes) {
    refuse(input, fmt::format("the file has {} bytes, the limit is {}", status.st_size, policy.max_bytes));
  }
  std::vector<uint8_t> bytes(static_cast<size_t>(status.st_size));
  size_t at = 0;
  while (at < bytes.size()) {
    const ssize_t n = ::read(file.fd, bytes.data() + at, bytes.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    at += static_cast<size_t>(n);
  }
  bytes.resize(at);
  return bytes;
}

bool has_scheme(std::string_view source, std::string_view scheme) {
  return source.size() >= scheme.size() && std::equal(scheme.begin(), scheme.end(), source.begin(),
                                                      [](char a, char b) { return a == std::tolower(b); });
}

}  // namespace

bool is_internal_address(const uint8_t* a, size_t bytes) {
  if (bytes == 4) {
    return a[0] == 0 || a[0] == 10 || a[0] == 127 || (a[0] == 100 && (a[1] & 0xC0) == 64) ||
           (a[0] == 169 && a[1] == 254) || (a[0] == 172 && (a[1] & 0xF0) == 16) ||
           (a[0] == 192 && a[1] == 168) || (a[0] == 192 && a[1] == 0 && (a[2] == 0 || a[2] == 2)) ||
           (a[0] == 192 && a[1] == 88 && a[2] == 99) || (a[0] == 198 && (a[1] & 0xFE) == 18) ||
           (a[0] == 198 && a[1] == 51 && a[2] == 100) || (a[0] == 203 && a[1] == 0 && a[2] == 113) ||
           a[0] >= 224;
  }
  if (bytes != 16) return true;
  const auto zeros = [&](size_t from, size_t to) {
    return std::all_of(a + from, a + to, [](uint8_t b) { return b == 0; });
  };
  if (zeros(0, 10) && a[10] == 0xFF && a[11] == 0xFF)
    return is_internal_address(a + 12, 4);                                     // ::ffff:1.2.3.4
  if (zeros(0, 12)) return true;                                               // ::, ::1, ::1.2.3.4
  if (a[0] == 0 && a[1] == 0x64 && a[2] == 0xFF && a[3] == 0x9B) return true;  // NAT64
  if (a[0] == 0x20 && a[1] == 0x02) return is_internal_address(a + 2, 4);      // 6to4
  if (a[0] == 0x20 && a[1] == 0x01 && (a[2] == 0 || (a[2] == 0x0D && a[3] == 0xB8)))
    return true;                 // Teredo, documentation
  return (a[0] & 0xE0) != 0x20;  // public addresses are 2000::/3; the rest is local, multicast or unassigned
}

std::vector<uint8_t> media_bytes(const MediaInput& input, const MediaPolicy& policy) {
  const std::string_view source = input.source;
  if (has_scheme(source, "data:")) return data_uri(input, source, policy);
  if (has_scheme(source, "file://")) return read_file_below(input, policy);
  if (has_scheme(source, "http://") || has_scheme(source, "https://")) {
    if (!policy.fetch_urls) {
      refuse(input,
             "addresses are not fetched here; send the bytes as a data: URI (server option --media-urls)");
    }
    try {
      return fetch_url(input.source, policy);
    } catch (const ApiError& error) {
      refuse(input, error.what());
    }
  }
  const size_t colon = source.substr(0, 32).find("://");
  if (colon != std::string_view::npos) {
    refuse(input, fmt::format("cannot read \"{}://\"; expected a data: URI", source.substr(0, colon)));
  }
  return decode(input, source, policy);
}

std::vector<Media> load_media(const std::vector<MediaInput>& inputs, const MediaPolicy& policy,
                              const ModelInfo& info) {
  if (static_cast<int>(inputs.size()) > policy.max_parts) {
    throw bad_request(
        fmt::format("{} media parts in one request, the limit is {}", inputs.size(), policy.max_parts));
  }
  std::vector<Media> media;
  for (const auto& input : inputs) {
    const std::vector<uint8_t> bytes = media_bytes(input, policy);
    const int budget = input.soft_token_budget;
    switch (input.kind) {
      case MediaKind::kImage:
        media.push_back(
            Media::image(bytes, input.place, budget > 0 ? budget : info.default_image_budget, policy.limits));
        break;
      case MediaKind::kAudio:
        media.push_back(Media::audio(bytes, input.place, policy.limits));
        break;
      case MediaKind::kVideo: {
        VideoOptions options;
        options.soft_token_budget = budget > 0 ? budget : info.default_video_budget;
        media.push_back(Media::video(bytes, input.place, options, policy.limits));
        break;
      }
    }
  }
  return media;
}

}  // namespace tessera::server
