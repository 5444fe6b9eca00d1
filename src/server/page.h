#pragma once
// The chat page as it is built into the program (web/dist, web/embed.cmake).

#include <span>
#include <string_view>

#include "server/http.h"

namespace tessera::server {

struct PageFile {
  std::string_view path;      // "/", "/assets/katex-….js"
  std::string_view type;      // Content-Type
  std::string_view encoding;  // Content-Encoding: "gzip", or "" for none
  std::string_view etag;      // with its quotes; of the bytes
  bool forever = false;       // the name has a hash of the content: never asked for again
  std::string_view bytes;     // of the program itself; lives as long as it does
};

/// Every file of the page. Any thread.
std::span<const PageFile> page_files();

/// The file at `path`, which has no query; nullptr when there is none. Any thread.
const PageFile* find_page_file(std::string_view path);

/// The file that `request` is for. "/" is the page for those who accept HTML only: Ollama's clients ask there
/// whether the server runs. nullptr: not one of the page's. Any thread.
const PageFile* page_file_for(const HttpRequest& request);

/// 200 with the file, 304 when the client has it, 406 when it is compressed and the client takes none of
/// that.
HttpAnswer answer_page(const PageFile& file, const HttpRequest& request);

}  // namespace tessera::server
