#include "server/page.h"

#include <string>

namespace tessera::server {

const PageFile* find_page_file(std::string_view path) {
  for (const PageFile& file : page_files()) {
    if (file.path == path) return &file;
  }
  return nullptr;
}

const PageFile* page_file_for(const HttpRequest& request) {
  if (request.method != "GET" && request.method != "HEAD") return nullptr;
  if (request.path == "/" && request.header("accept").find("text/html") == std::string_view::npos)
    return nullptr;
  return find_page_file(request.path);
}

HttpAnswer answer_page(const PageFile& file, const HttpRequest& request) {
  // The page's own Content-Security-Policy is in the page, with the hashes of its script and style; a frame
  // is the one thing that only a header can refuse.
  Headers headers = {{"Cache-Control", file.forever ? "public, max-age=31536000, immutable" : "no-cache"},
                     {"ETag", std::string(file.etag)},
                     {"Vary", "Accept, Accept-Encoding"},
                     {"X-Content-Type-Options", "nosniff"},
                     {"Referrer-Policy", "no-referrer"},
                     {"Content-Security-Policy", "frame-ancestors 'none'"}};
  if (request.header("if-none-match") == file.etag) return {304, "", "", std::move(headers)};
  if (!file.encoding.empty()) {
    if (request.header("accept-encoding").find(file.encoding) == std::string_view::npos) {
      return {406, "text/plain; charset=utf-8", "this file is kept as gzip: send Accept-Encoding: gzip\n"};
    }
    headers.emplace_back("Content-Encoding", std::string(file.encoding));
  }
  return {200, std::string(file.type), std::string(file.bytes), std::move(headers)};
}

}  // namespace tessera::server
