#include "server/multipart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "server/api_error.h"

namespace tessera::server {
namespace {

constexpr size_t kMaxParts = 64, kMaxHeadBytes = 4096;

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

// The value of `; key=value` or `; key="value"` in a header.
std::string parameter(std::string_view header, std::string_view key) {
  const std::string low = lower(header), wanted = std::string(key) + "=";
  for (size_t at = 0; (at = low.find(wanted, at)) != std::string::npos; ++at) {
    if (at > 0 && low[at - 1] != ' ' && low[at - 1] != ';') continue;
    std::string_view value = header.substr(at + wanted.size());
    if (!value.starts_with('"')) return std::string(value.substr(0, value.find_first_of("; \r\n")));
    value.remove_prefix(1);
    std::string out;
    for (size_t i = 0; i < value.size() && value[i] != '"'; ++i) {
      if (value[i] == '\\' && i + 1 < value.size()) ++i;
      out += value[i];
    }
    return out;
  }
  return {};
}

}  // namespace

std::vector<FormPart> parse_form(std::string_view content_type, std::string_view body) {
  const std::string boundary = parameter(content_type, "boundary");
  if (!lower(content_type).starts_with("multipart/form-data") || boundary.empty() || boundary.size() > 70) {
    throw bad_request("the body is not multipart/form-data with a boundary of 1 to 70 characters");
  }
  const std::string delimiter = "--" + boundary;
  if (!body.starts_with(delimiter)) {
    const size_t first = body.find("\r\n" + delimiter);  // a preamble
    if (first == std::string_view::npos) throw bad_request("the form's boundary is not in its body");
    body.remove_prefix(first + 2);
  }
  std::vector<FormPart> parts;
  for (;;) {
    body.remove_prefix(delimiter.size());
    if (body.starts_with("--")) return parts;
    if (!body.starts_with("\r\n"))
      throw bad_request(fmt::format("part {} of the form: its boundary line goes on", parts.size()));
    if (parts.size() == kMaxParts)
      throw bad_request(fmt::format("the form has more than {} parts", kMaxParts));
    body.remove_prefix(2);
    const size_t end = body.find("\r\n" + delimiter);
    if (end == std::string_view::npos)
      throw bad_request(fmt::format("part {} of the form has no end", parts.size()));
    const std::string_view part = body.substr(0, end);
    const size_t head_end = part.substr(0, kMaxHeadBytes).find("\r\n\r\n");
    if (head_end == std::string_view::npos)
      throw bad_request(fmt::format("part {} of the form has no headers", parts.size()));
    FormPart out;
    for (std::string_view head = part.substr(0, head_end); !head.empty();) {
      const std::string_view line = head.substr(0, head.find("\r\n"));
      head.remove_prefix(std::min(head.size(), line.size() + 2));
      if (!lower(line).starts_with("content-disposition:")) continue;
      out.name = parameter(line, "name");
      out.filename = parameter(line, "filename");
    }
    out.data = part.substr(head_end + 4);
    parts.push_back(std::move(out));
    body.remove_prefix(end + 2);
  }
}

const FormPart* find_part(const std::vector<FormPart>& parts, std::string_view name) {
  for (const auto& part : parts) {
    if (part.name == name) return &part;
  }
  return nullptr;
}

}  // namespace tessera::server
